// Lines over time. uPlot draws them; what they say stands above them in words, of the
// latest step or of the one that is pointed at.
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { brief, ticks } from "./axis";
import { moment, ofDay } from "./format";
import { usePrefs } from "./prefs";

const height = 132;

// A line has a name, a colour and a dash of its own, so that no line is told apart by
// its colour alone. A value that is null is a gap.
export type Line = { name: string; values: (number | null)[]; colour: string; dash?: number[]; fill?: boolean };

// The sample beside a line's name.
function Sample({ line }: { line: Line }) {
  return <svg width={18} height={8} aria-hidden="true" className="inline-block mr-1"><line x1={0} x2={18} y1={4} y2={4} stroke={`var(${line.colour})`} strokeWidth={2} strokeDasharray={line.dash?.join(" ")} /></svg>;
}

export function Chart({ title, times, lines, write, top = 0, lasting, group, log }: {
  title: string; times: number[]; lines: Line[]; write(v: number): string;
  // top is what the axis reaches at least; lasting how long a step is in seconds, 0 for a moment.
  top?: number; lasting: number;
  // Charts of one group show the same moment.
  group?: string;
  // log is for durations, which lie orders of magnitude apart.
  log?: boolean;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const { theme, clock, now } = usePrefs();
  const shape = lines.map((l) => `${l.name} ${l.colour} ${l.dash ?? ""} ${l.fill ?? ""}`).join();
  const data = useMemo((): uPlot.AlignedData => [times, ...lines.map((l) => l.values)], [times, lines]);
  const latest = useRef({ data, write });
  latest.current = { data, write };
  const few = times.length < 2;
  useEffect(() => {
    const el = box.current;
    if (!el || few) return;
    const css = getComputedStyle(document.documentElement);
    const of = (name: string) => css.getPropertyValue(name).trim();
    const axis = { stroke: of("--soft"), grid: { stroke: of("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const p = new uPlot({
      width: el.clientWidth, height, padding: [8, 18, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, ...(group ? { sync: { key: group } } : {}) },
      axes: [{ ...axis, size: 24, space: 64, values: (_u, splits) => ticks(splits, clock === "utc") }, { ...axis, size: 52, space: 32, values: (_u, v) => v.map((x) => (x === null ? "" : log ? brief(x) : latest.current.write(x))), ...(log ? { grid: { ...axis.grid, filter: (_u, v) => v.map((x) => (Number.isInteger(Math.log10(x)) ? x : null)) } } : {}) }],
      series: [{}, ...lines.map((l) => ({ stroke: of(l.colour), width: 1.5, dash: l.dash, fill: l.fill ? `${of(l.colour)}22` : undefined, points: { show: false } }))],
      scales: { y: log ? { distr: 3, log: 10, range: (_u, lo, hi) => (lo > 0 && hi > 0 ? uPlot.rangeLog(lo, hi, 10, true) : [10, 1000]) } : { range: (_u, _lo, hi) => [0, Math.max((hi ?? 0) * 1.1, top, 1e-9)] } },
      tzDate: (t) => (clock === "utc" ? uPlot.tzDate(new Date(t * 1000), "Etc/UTC") : new Date(t * 1000)),
      hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
    }, latest.current.data, el);
    plot.current = p;
    const watch = new ResizeObserver(() => p.setSize({ width: el.clientWidth, height }));
    watch.observe(el);
    return () => { watch.disconnect(); p.destroy(); plot.current = null; };
    // The data is put below; the plot itself is made anew for another light, clock or
    // set of lines only.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [theme, clock, shape, few, group, top, log]);
  useEffect(() => plot.current?.setData(data), [data]);
  const shown = at !== null && at < times.length ? at : times.length - 1;
  const time = times[shown];
  const when = time === undefined ? "" : lasting >= 86_400 || now / 1000 - time > 86_400 ? moment(new Date(time * 1000).toISOString(), clock === "utc" ? "utc" : "local", now).slice(5, 16) : ofDay(time * 1000, clock).slice(0, lasting ? 5 : 8);
  const step = (by: number) => setAt(Math.max(0, Math.min(times.length - 1, shown + by)));
  return (
    <figure className="panel px-3 pt-2 pb-1 min-w-0" data-chart={title}>
      <figcaption>
        <div className="flex items-baseline gap-2"><span className="font-medium">{title}</span>{when && <span className="label ml-auto whitespace-nowrap">{at === null && lasting ? "last, " : ""}{when}</span>}</div>
        <p className="label flex flex-wrap gap-x-3 min-h-[18px]">{lines.map((l) => { const v = l.values[shown]; return <span key={l.name} className="whitespace-nowrap"><Sample line={l} />{l.name} <span className="text-ink">{v === null || v === undefined ? "–" : write(v)}</span></span>; })}</p>
      </figcaption>
      {few ? <p className="label grid place-items-center" style={{ height }}>A line grows here while the page is open.</p>
        : <div ref={box} className="min-w-0 mt-1" style={{ height }} tabIndex={0} role="slider" aria-label={`${title}: left and right walk through the steps`} aria-valuemin={0} aria-valuemax={times.length - 1} aria-valuenow={shown} aria-valuetext={`${when}: ${lines.map((l) => `${l.name} ${l.values[shown] === null ? "none" : write(l.values[shown] ?? 0)}`).join(", ")}`}
            onBlur={() => setAt(null)} onKeyDown={(e) => { if (e.key === "ArrowLeft" || e.key === "ArrowRight") { step(e.key === "ArrowLeft" ? -1 : 1); e.preventDefault(); } }} />}
    </figure>
  );
}
