// The picture of a task's attempts: one lane each on an axis they share.
import { useRef, useState, type PointerEvent } from "react";
import type { Retry } from "../../api/types";
import { duration, ofDay, printable, word } from "../../ui/format";
import { ticks, type Axis, type Span } from "../../ui/lanes";
import { Mark } from "../../ui/parts";
import { Time, usePrefs } from "../../ui/prefs";
import { useWidth } from "../../ui/width";
import { heights, type Picture, type Row } from "./rows";

const fill: Record<string, string> = { success: "var(--good)", failed: "var(--bad)", running: "var(--run)", aborted: "var(--idle)", lost: "var(--lost)", closed: "var(--good)", open: "var(--bad)", half_open: "var(--wait)" };
const edge = 8; // free at both sides of the plot
const letter = 6.6; // about how wide one is, in pixels
const brushFrom = 6; // a shorter pull is a click

type Props = { picture: Picture; axis: Axis; open: string | undefined; onOpen(key: string): void; onZoom(s: Span): void };

// Label is what stands left of a row.
function Label({ row, open, onOpen }: { row: Row; open: boolean; onOpen(key: string): void }) {
  switch (row.kind) {
    case "idle": return <span className="label">idle<span className="hidden sm:inline"> time</span>, folded</span>;
    case "run": return <span className="font-medium">Run {row.run}</span>;
    case "next": return <><p><span className="text-soft">{row.next}</span> <span className="text-wait">↻ next</span></p><p className="label"><Time at={row.at} /></p></>;
    case "breaker": return <span className="text-soft">Breaker</span>;
    case "operators": return <span className="text-soft">Operators</span>;
    case "axis": return <span className="label">time<span className="hidden sm:inline"> of day, and since then</span></span>;
    default: {
      const a = row.attempt;
      const took = a.duration_ms !== undefined ? duration(a.duration_ms) : "";
      return (
        <>
          <p className="truncate"><button className="link" data-row aria-expanded={open} onClick={() => onOpen(row.key)}>{a.run}.{a.attempt}<span className="sr-only"> attempt {a.attempt} of run {a.run}</span></button> <Mark of={a.outcome} /> <span className="text-soft hidden sm:inline">{took}</span></p>
          <p className="label truncate sm:hidden">{[took, a.wait?.delay_ms ? `after ${duration(a.wait.delay_ms)}` : ""].filter(Boolean).join(" ")}</p>
          <p className="label truncate hidden sm:block">{a.wait ? a.wait.delay_ms ? `waited ${duration(a.wait.delay_ms)}: ${word(a.wait.reason)}` : word(a.wait.reason) : "began at once"}</p>
        </>
      );
    }
  }
}

export function Lanes({ picture: p, axis, open, onOpen, onZoom }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const [brush, setBrush] = useState<[number, number] | null>(null);
  const begun = useRef<number | null>(null);
  const { clock } = usePrefs();
  const folded = axis.gaps.length > 0;
  const rows = folded ? p.rows : p.rows.filter((r) => r.kind !== "idle");
  const tops: number[] = [];
  let height = 0;
  for (const r of rows) {
    tops.push(height);
    height += heights[r.kind];
  }
  const plot = Math.max(width - 2 * edge, 10);
  const x = (t: number) => edge + axis.at(t) * plot;
  const bottom = height - heights.axis;
  const place = (e: PointerEvent) => Math.min(Math.max(e.clientX - e.currentTarget.getBoundingClientRect().left, edge), edge + plot);
  const time = (at: number) => axis.time((at - edge) / plot);
  const down = (e: PointerEvent<SVGSVGElement>) => {
    if (e.button !== 0) return;
    e.currentTarget.setPointerCapture(e.pointerId);
    begun.current = place(e);
  };
  const move = (e: PointerEvent<SVGSVGElement>) => {
    if (begun.current === null) return;
    const to = place(e);
    setBrush(Math.abs(to - begun.current) >= brushFrom ? [Math.min(begun.current, to), Math.max(begun.current, to)] : null);
  };
  const up = (e: PointerEvent<SVGSVGElement>) => {
    if (begun.current === null) return;
    begun.current = null;
    setBrush(null);
    if (brush) return onZoom({ from: time(brush[0]), to: time(brush[1]) });
    const y = e.clientY - e.currentTarget.getBoundingClientRect().top;
    const row = rows[tops.findLastIndex((t) => t <= y)];
    if (row?.kind === "attempt") onOpen(row.key);
  };
  const seen = (s: Span) => s.to >= axis.from && s.from <= axis.to;
  return (
    <div className="grid grid-cols-[9.5rem_minmax(0,1fr)] sm:grid-cols-[17rem_minmax(0,1fr)]">
      <ol aria-label="Attempts" className="border-r border-line">
        {rows.map((r) => <li key={r.key} style={{ height: heights[r.kind] }} className={`px-3 min-w-0 overflow-hidden whitespace-nowrap flex flex-col justify-center ${r.kind === "run" ? "bg-sunk" : ""} ${r.key === open ? "bg-sunk" : ""}`}><Label row={r} open={r.key === open} onOpen={onOpen} /></li>)}
      </ol>
      <div ref={box} className="min-w-0">
        <svg className="block select-none touch-pan-y lanes" width={width} height={height} role="img" aria-label={`${rows.filter((r) => r.kind === "attempt").length} attempts on one axis of time`} onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={() => { begun.current = null; setBrush(null); }}>
          {rows.map((r, i) => (r.key === open || r.kind === "run") && <rect key={r.key} x={0} width={width} y={tops[i]} height={heights[r.kind]} fill="var(--sunk)" />)}
          {axis.gaps.map((g) => {
            const mid = edge + g.x * plot;
            return (
              <g key={g.from}>
                <rect x={mid - (axis.width * plot) / 2} width={axis.width * plot} y={0} height={bottom} fill="var(--sunk)" />
                <path d={Array.from({ length: Math.floor((bottom - heights.idle) / 7) + 1 }, (_, i) => `${i ? "L" : "M"}${mid + (i % 2 ? 3 : -3)} ${heights.idle + i * 7}`).join(" ")} stroke="var(--line)" strokeWidth={1.5} fill="none" />
                <text x={mid > width - 36 ? width - 4 : mid} y={14} textAnchor={mid > width - 36 ? "end" : "middle"}>{duration(g.to - g.from)}</text>
                <title>{`nothing ran for ${duration(g.to - g.from)}`}</title>
              </g>
            );
          })}
          {rows.map((r, i) => r.kind !== "axis" && r.kind !== "idle" && <line key={r.key} x1={0} x2={width} y1={tops[i]} y2={tops[i]} stroke="var(--line)" />)}
          {p.marks.filter((m) => seen({ from: m.at, to: m.at })).map((m) => <line key={m.id} x1={x(m.at)} x2={x(m.at)} y1={folded ? heights.idle : 0} y2={bottom} stroke="var(--soft)" strokeDasharray="2 3" />)}
          {rows.map((r, i) => <Lane key={r.key} row={r} y={tops[i]!} {...{ x, p, width, seen }} />)}
          <line x1={0} x2={width} y1={bottom} y2={bottom} stroke="var(--line)" />
          {ticks(p.busy, axis, 72 / plot).map(({ t, anchor }) => (
            <g key={t}><line x1={x(t)} x2={x(t)} y1={bottom} y2={bottom + 4} stroke="var(--soft)" />
              <text x={x(t)} y={bottom + 17} className={anchor === t ? "ink" : ""} textAnchor={x(t) < 30 ? "start" : x(t) > width - 60 ? "end" : "middle"}>{anchor === t ? ofDay(t, clock) : `+${duration(t - anchor)}`}</text></g>
          ))}
          {brush && <rect x={brush[0]} width={brush[1] - brush[0]} y={0} height={bottom} fill="var(--accent)" fillOpacity={0.16} stroke="var(--accent)" />}
        </svg>
      </div>
    </div>
  );
}

// Lane is what stands on the plot in one row.
function Lane({ row, y, x, p, width, seen }: { row: Row; y: number; x(t: number): number; p: Picture; width: number; seen(s: Span): boolean }) {
  const mid = y + heights[row.kind] / 2;
  if (row.kind === "run") return <text x={edge} y={mid + 4} className="ink">{fit(printable(row.title), width - 2 * edge)}</text>;
  if (row.kind === "breaker") return <>{p.breaker.filter(seen).map((b) => {
    const left = x(b.from), right = x(b.to);
    const sign = { open: "✕", half_open: "◐", closed: "✓" }[b.state];
    const long = `${sign} ${word(b.state)}`;
    const says = right - left > long.length * letter + 8 ? long : right - left > 14 ? sign : "";
    return (
      <g key={`${b.from} ${b.state}`}>
        <rect x={left} width={Math.max(right - left, 2)} y={mid - 8} height={16} rx={3} fill={fill[b.state]} fillOpacity={b.state === "closed" ? 0.14 : 0.24} stroke={fill[b.state]} />
        {says && <text x={left + (says === sign ? 4 : 6)} y={mid + 4} className="ink">{says}</text>}
        <title>{printable([`${b.provider} ${word(b.state)}`, b.why].filter(Boolean).join(": "))}</title>
      </g>
    );
  })}</>;
  if (row.kind === "operators") return <>{p.marks.filter((m) => seen({ from: m.at, to: m.at })).map((m) => <g key={m.id}><circle cx={x(m.at)} cy={mid} r={9} fill="var(--panel)" stroke="var(--accent)" /><text x={x(m.at)} y={mid + 4} textAnchor="middle" className="ink">{m.sign}</text><title>{printable([m.what, m.who && `by ${m.who}`, m.why].filter(Boolean).join(", "))}</title></g>)}</>;
  if (row.kind === "next") return seen(row.wait) ? <><Wait from={x(row.wait.from)} to={x(row.wait.to)} y={mid} text={waited(row.retry)} /><circle cx={x(row.wait.to)} cy={mid} r={5} fill="var(--panel)" stroke="var(--wait)" strokeWidth={2} /></> : null;
  if (row.kind !== "attempt" || !row.span) return null;
  const { span: s, attempt: a } = row;
  if (!seen(s) && !(row.wait && seen(row.wait))) return null;
  const left = x(s.from), right = Math.max(x(s.to), left + 4);
  const note = a.error?.kind ? printable(a.error.kind) : "";
  return (
    <g data-lane={row.key}>
      {p.p95 > 0 && seen(s) && <><rect x={left} width={Math.max(x(s.from + p.p95) - left, 0)} y={y + 4} height={heights.attempt - 8} fill="var(--run)" fillOpacity={0.09} /><rect x={left} width={Math.max(x(s.from + p.p50) - left, 0)} y={y + 4} height={heights.attempt - 8} fill="var(--run)" fillOpacity={0.12} /></>}
      {row.wait && seen(row.wait) && <Wait from={x(row.wait.from)} to={left} y={mid} text={waited(row.wait.retry)} />}
      {seen(s) && <rect data-bar={row.key} x={left} width={right - left} y={mid - 8} height={16} rx={3} fill={fill[a.outcome] ?? "var(--idle)"}><title>{`attempt ${a.attempt} of run ${a.run}: ${word(a.outcome)}${a.duration_ms !== undefined ? `, ${duration(a.duration_ms)}` : ""}`}</title></rect>}
      {seen(s) && note && note.length * letter < width - edge - right - 6 && <text x={right + 6} y={mid + 4} className="halo">{note}</text>}
      {seen(s) && note && note.length * letter >= width - edge - right - 6 && note.length * letter < right - left - 10 && <text x={left + 6} y={mid + 4} className="on">{note}</text>}
    </g>
  );
}

// Wait is a line with its reason: over its middle where it is long enough, else left
// of what it leads to.
function Wait({ from, to, y, text }: { from: number; to: number; y: number; text: string }) {
  const wide = text.length * letter;
  const inside = to - from > wide + 12;
  return (
    <>
      <line x1={from} x2={to} y1={y} y2={y} stroke="var(--wait)" strokeDasharray="3 3" />
      <line x1={from} x2={from} y1={y - 4} y2={y + 4} stroke="var(--wait)" />
      {(inside || to > wide + edge) && <text x={inside ? (from + to) / 2 : to - 6} y={y - 7} textAnchor={inside ? "middle" : "end"} className="wait">{text}</text>}
    </>
  );
}

const waited = (r: Retry) => (r.delay_ms ? `${duration(r.delay_ms)} ${word(r.reason)}` : word(r.reason));
const fit = (s: string, px: number) => (s.length * letter <= px ? s : `${s.slice(0, Math.max(0, Math.floor(px / letter) - 1))}…`);
