// Where attempts stand on one time axis whose idle stretches are folded up. Pure,
// so that it can be tested.
import type { Attempt } from "../api/types";

export type Span = { from: number; to: number };
export type Axis = { at(t: number): number; gaps: (Span & { x: number })[]; width: number };

// Each idle gap takes this share of the width, however long it was.
const gapWidth = 0.07;

// axis lays the busy spans out over 0..1. Gaps that are no longer than the busy
// time itself are kept as they are: only what would hide the attempts is folded.
export function axis(busy: Span[]): Axis {
  const spans = [...busy].sort((a, b) => a.from - b.from);
  const merged: Span[] = [];
  for (const s of spans) {
    const last = merged.at(-1);
    if (last && s.from <= last.to) last.to = Math.max(last.to, s.to);
    else merged.push({ ...s });
  }
  const total = merged.reduce((n, s) => n + (s.to - s.from), 0) || 1;
  const folded = (i: number) => merged[i + 1]!.from - merged[i]!.to > total * 0.25;
  let plain = total;
  let count = 0;
  for (let i = 0; i + 1 < merged.length; i++) {
    if (folded(i)) count++;
    else plain += merged[i + 1]!.from - merged[i]!.to;
  }
  const each = count ? Math.min(gapWidth, 0.5 / count) : 0;
  const scale = (1 - each * count) / plain;
  const knots: [number, number][] = [];
  const gaps: Axis["gaps"] = [];
  let x = 0;
  for (let i = 0; i < merged.length; i++) {
    const s = merged[i]!;
    knots.push([s.from, x]);
    x += (s.to - s.from) * scale;
    knots.push([s.to, x]);
    if (i + 1 < merged.length) {
      const g = { from: s.to, to: merged[i + 1]!.from };
      if (folded(i)) {
        gaps.push({ ...g, x: x + each / 2 });
        x += each;
      } else x += (g.to - g.from) * scale;
    }
  }
  return {
    gaps, width: each,
    at(t) {
      const first = knots[0], last = knots.at(-1);
      if (!first || !last || t <= first[0]) return 0;
      if (t >= last[0]) return last[1];
      for (let i = 1; i < knots.length; i++) {
        const [t1, x1] = knots[i]!, [t0, x0] = knots[i - 1]!;
        if (t <= t1) return t1 === t0 ? x1 : x0 + ((t - t0) / (t1 - t0)) * (x1 - x0);
      }
      return last[1];
    },
  };
}

export function spanOf(a: Attempt, now: number): Span | undefined {
  const end = a.ended_at ? Date.parse(a.ended_at) : NaN;
  const from = a.started_at ? Date.parse(a.started_at) : end - (a.duration_ms ?? 0);
  if (Number.isNaN(from)) return undefined;
  return { from, to: Math.max(Number.isNaN(end) ? (a.outcome === "running" ? now : from + (a.duration_ms ?? 0)) : end, from + 1) };
}
