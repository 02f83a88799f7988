// The whole axis in small, with two handles that choose a part of it: by pointer, or
// by the arrow keys.
import type { KeyboardEvent, PointerEvent } from "react";
import { duration } from "../../ui/format";
import type { Axis, Span } from "../../ui/lanes";

const step = 0.02, stride = 0.1, least = 0.01;
const clamp = (v: number, lo: number, hi: number) => Math.min(hi, Math.max(lo, v));

export function Zoom({ axis, busy, zoom, onZoom }: { axis: Axis; busy: (Span & { colour: string })[]; zoom: Span | undefined; onZoom(s: Span | undefined): void }) {
  const ends = [zoom ? axis.at(zoom.from) : 0, zoom ? axis.at(zoom.to) : 1] as const;
  const put = (which: 0 | 1, x: number) => {
    const next = which ? [ends[0], clamp(x, ends[0] + least, 1)] as const : [clamp(x, 0, ends[1] - least), ends[1]] as const;
    onZoom(next[0] <= 0 && next[1] >= 1 ? undefined : { from: axis.time(next[0]), to: axis.time(next[1]) });
  };
  const key = (which: 0 | 1) => (e: KeyboardEvent) => {
    const by = e.shiftKey ? stride : step;
    const to = { ArrowLeft: ends[which] - by, ArrowDown: ends[which] - by, ArrowRight: ends[which] + by, ArrowUp: ends[which] + by, Home: 0, End: 1 }[e.key];
    if (e.key === "Escape") onZoom(undefined);
    else if (to !== undefined) put(which, to);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const drag = (which: 0 | 1) => (e: PointerEvent<HTMLElement>) => {
    if (!e.currentTarget.hasPointerCapture(e.pointerId)) return;
    const r = e.currentTarget.parentElement!.getBoundingClientRect();
    put(which, (e.clientX - r.left) / r.width);
  };
  return (
    <div className="flex items-center gap-4 px-3 py-2.5 border-t border-line">
      <span className="label whitespace-nowrap hidden sm:inline">Pull over the lanes, or move the ends:</span>
      <div className="relative grow h-6 bg-sunk rounded mx-2" role="group" aria-label="Part of the axis that is shown">
        {busy.map((b, i) => <span key={i} className="absolute top-2 h-2 rounded-sm" style={{ left: `${axis.at(b.from) * 100}%`, width: `max(2px, ${(axis.at(b.to) - axis.at(b.from)) * 100}%)`, background: b.colour }} />)}
        <span className="absolute inset-y-0 border-y border-accent" style={{ left: `${ends[0] * 100}%`, right: `${(1 - ends[1]) * 100}%` }} />
        {([0, 1] as const).map((which) => (
          <span key={which} role="slider" tabIndex={0} aria-label={which ? "Shown until" : "Shown from"} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(ends[which] * 100)} aria-valuetext={`${duration(axis.time(ends[which]) - axis.from)} after the first`}
            className="absolute -inset-y-0.5 w-3 -ml-1.5 rounded bg-accent cursor-ew-resize touch-none" style={{ left: `${ends[which] * 100}%` }}
            onKeyDown={key(which)} onPointerDown={(e) => e.currentTarget.setPointerCapture(e.pointerId)} onPointerMove={drag(which)} />
        ))}
      </div>
      <button className="btn" disabled={!zoom} onClick={() => onZoom(undefined)}>Show all</button>
    </div>
  );
}
