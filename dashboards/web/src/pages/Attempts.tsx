import { useState } from "react";
import type { Attempt, TimelineEvent } from "../api/types";
import { duration, why, word } from "../ui/format";
import { axis, spanOf } from "../ui/lanes";
import { Empty, Mark } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";

const fill: Record<string, string> = { success: "var(--good)", failed: "var(--bad)", running: "var(--run)", aborted: "var(--idle)", lost: "var(--lost)" };
const lane = 34;

export function Attempts({ attempts, marks }: { attempts: Attempt[]; marks: TimelineEvent[] }) {
  const { now } = usePrefs();
  const [open, setOpen] = useState<string | null>(null);
  if (!attempts.length) return <div className="panel"><Empty title="No attempt yet">The executor was not called so far.</Empty></div>;
  const spans = attempts.map((a) => spanOf(a, now));
  const ax = axis(spans.filter((s) => s !== undefined));
  const W = 1000;
  const x = (t: number) => 8 + ax.at(t) * (W - 16);
  const H = attempts.length * lane + 40;
  const lit = attempts.find((a) => `${a.run}.${a.attempt}` === open);
  return (
    <div className="panel overflow-hidden">
      <div className="grid grid-cols-[7.5rem_minmax(0,1fr)] sm:grid-cols-[15rem_minmax(0,1fr)]">
        <ol>
          {attempts.map((a) => {
            const key = `${a.run}.${a.attempt}`;
            return (
              <li key={key} style={{ height: lane }} className="px-3 flex items-center gap-2 whitespace-nowrap overflow-hidden">
                <button className="link" aria-expanded={open === key} onClick={() => setOpen(open === key ? null : key)}>{a.run}.{a.attempt}<span className="sr-only"> attempt {a.attempt} of run {a.run}</span></button>
                <Mark of={a.outcome} /><span className="text-soft hidden sm:inline">{a.duration_ms !== undefined ? duration(a.duration_ms) : ""}</span>
              </li>
            );
          })}
        </ol>
        <div className="relative">
        <svg className="block" viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" height={H} width="100%" role="img" aria-label={`${attempts.length} attempts on one time axis`}>
          {ax.gaps.map((g) => (
            <g key={g.from}>
              <rect x={8 + (g.x - ax.width / 2) * (W - 16)} width={ax.width * (W - 16)} y={0} height={H - 40} fill="var(--sunk)" />
              <path d={Array.from({ length: Math.floor((H - 40) / 8) + 1 }, (_, i) => `${i ? "L" : "M"}${8 + g.x * (W - 16) + (i % 2 ? 5 : -5)} ${i * 8}`).join(" ")} stroke="var(--soft)" fill="none" vectorEffect="non-scaling-stroke" />
            </g>
          ))}
          {marks.map((m) => <line key={m.event_id} x1={x(Date.parse(m.occurred_at))} x2={x(Date.parse(m.occurred_at))} y1={0} y2={H - 40} stroke="var(--wait)" strokeDasharray="4 3" vectorEffect="non-scaling-stroke"><title>{word(m.type)}</title></line>)}
          {attempts.map((a, i) => {
            const s = spans[i];
            if (!s) return null;
            const key = `${a.run}.${a.attempt}`;
            const before = i > 0 && a.wait ? spans[i - 1] : undefined;
            return (
              <g key={key} onClick={() => setOpen(open === key ? null : key)} className="cursor-pointer">
                {before && <line x1={x(before.to)} x2={x(s.from)} y1={i * lane + lane / 2} y2={i * lane + lane / 2} stroke="var(--wait)" strokeDasharray="3 4" vectorEffect="non-scaling-stroke" />}
                <rect x={x(s.from)} width={Math.max(4, x(s.to) - x(s.from))} y={i * lane + 9} height={lane - 18} rx={2} fill={fill[a.outcome] ?? "var(--idle)"}>
                  <title>{`attempt ${a.attempt}: ${a.outcome}`}</title>
                </rect>
              </g>
            );
          })}
        </svg>
        {ax.gaps.map((g) => <span key={g.from} className="label absolute -translate-x-1/2 whitespace-nowrap" style={{ left: `${((8 + g.x * (W - 16)) / W) * 100}%`, top: H - 38 }}>{duration(g.to - g.from)} idle</span>)}
        </div>
      </div>
      <div className="px-3 pb-1 -mt-5 label flex flex-wrap gap-x-4">
        {marks.length > 0 && <span>┆ {marks.map((m) => word(m.type)).join(", ")}</span>}
      </div>
      {attempts.some((a) => a.wait) && (
        <ul className="rows border-t border-line">
          {attempts.filter((a) => a.wait).map((a) => <li key={`${a.run}.${a.attempt}`} className="px-3 py-1.5"><span className="text-wait">↻ waited {duration(a.wait!.delay_ms)}</span> before {a.run}.{a.attempt} <span className="text-soft">· {why(a.wait!)}</span></li>)}
        </ul>
      )}
      {lit && (
        <section className="border-t border-line px-3 py-3" aria-label={`Attempt ${lit.attempt} of run ${lit.run}`}>
          <p className="font-medium">Attempt {lit.attempt} of run {lit.run} <Mark of={lit.outcome} /> <span className="text-soft font-normal"><Time at={lit.started_at} />{lit.agent ? ` · ${lit.agent}` : ""}{lit.breaker ? ` · breaker ${word(lit.breaker.state)}` : ""}</span></p>
          {lit.abort_reason && <p>{lit.abort_reason}</p>}
          {lit.error ? <><p className="mt-1"><span className="text-bad">✕ {lit.error.kind}</span> {lit.error.message} <span className="text-soft">{lit.error.class}</span></p>{lit.error.stack ? <pre className="code mt-2">{lit.error.stack}</pre> : <p className="text-soft">No stack came with it.</p>}</> : <p className="text-soft">No error.</p>}
        </section>
      )}
    </div>
  );
}
