// A small line over time. uPlot draws it; its numbers stand beside it in words.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { usePrefs } from "./prefs";

// The axis begins a minute before the first value: one point alone has no scale.
function padded(times: number[], values: number[]): uPlot.AlignedData {
  const first = times[0];
  return first === undefined ? [[], []] : [[first - 60, ...times], [null, ...values]];
}

export function Chart({ title, times, values, unit }: { title: string; times: number[]; values: number[]; unit: string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { theme } = usePrefs();
  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const css = getComputedStyle(document.documentElement);
    const soft = css.getPropertyValue("--soft"), line = css.getPropertyValue("--line"), run = css.getPropertyValue("--run");
    const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const p = new uPlot({ width: el.clientWidth, height: 120, legend: { show: false }, cursor: { show: false }, axes: [{ ...axis, size: 24, values: (_u, at) => at.map((t) => new Date(t * 1000).toTimeString().slice(0, 8)) }, { ...axis, size: 44 }], series: [{}, { stroke: run, width: 1.5, points: { show: times.length < 3 } }], scales: { y: { range: (_u, _lo, hi) => [0, Math.max(hi * 1.15, 1)] } } }, padded(times, values), el);
    plot.current = p;
    const watch = new ResizeObserver(() => p.setSize({ width: el.clientWidth, height: 120 }));
    watch.observe(el);
    return () => { watch.disconnect(); p.destroy(); plot.current = null; };
    // The data is put below; the plot itself is made anew for another light only.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [theme]);
  useEffect(() => plot.current?.setData(padded(times, values)), [times, values]);
  return <figure className="panel px-3 py-2 min-w-0"><figcaption className="label">{title} <span className="text-ink">{values.at(-1) ?? "–"} {unit}</span></figcaption><div className="relative"><div ref={box} className={`min-w-0 ${times.length < 2 ? "invisible" : ""}`} aria-hidden="true" />{times.length < 2 && <p className="label absolute inset-0 grid place-items-center">A line grows here while the page is open.</p>}</div></figure>;
}
