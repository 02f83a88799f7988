// Where attempts stand on one time axis whose idle stretches are folded up. Pure,
// so that it can be tested.
import type { Attempt } from "../api/types";

export type Span = { from: number; to: number };
// at gives the place of a time within 0..1, time the time at a place.
export type Axis = Span & { at(t: number): number; time(x: number): number; gaps: (Span & { x: number })[]; width: number };

// Each idle gap takes this share of the width, however long it was.
const gapWidth = 0.08;
const loneGap = 0.14;

// A gap longer than this share of all the busy time is folded: only what would hide
// the attempts.
const foldFrom = 0.6;

// axis lays the busy spans out over 0..1, with the long gaps between them folded.
// Within a range, what lies outside it is left out.
export function axis(busy: Span[], within?: Span): Axis {
  const merged = join(within ? clip(busy, within) : busy);
  const total = merged.reduce((n, s) => n + (s.to - s.from), 0);
  // Where nothing is busy there is nothing that a gap would hide.
  const folded = (i: number) => total > 0 && merged[i + 1]!.from - merged[i]!.to > total * foldFrom;
  let plain = total;
  let count = 0;
  for (let i = 0; i + 1 < merged.length; i++) {
    if (folded(i)) count++;
    else plain += merged[i + 1]!.from - merged[i]!.to;
  }
  const each = count ? Math.min(count === 1 ? loneGap : gapWidth, 0.5 / count) : 0;
  const scale = (1 - each * count) / (plain || 1);
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
  // between walks the knots along one of their sides and answers on the other.
  const between = (v: number, side: 0 | 1) => {
    const other = (1 - side) as 0 | 1;
    const first = knots[0], last = knots.at(-1);
    if (!first || !last) return 0;
    if (v <= first[side]) return first[other];
    for (let i = 1; i < knots.length; i++) {
      const a = knots[i - 1]!, b = knots[i]!;
      if (v <= b[side]) return b[side] === a[side] ? b[other] : a[other] + ((v - a[side]) / (b[side] - a[side])) * (b[other] - a[other]);
    }
    return last[other];
  };
  return { from: knots[0]?.[0] ?? 0, to: knots.at(-1)?.[0] ?? 0, gaps, width: each, at: (t) => between(t, 0), time: (p) => between(p, 1) };
}

function join(spans: Span[]): Span[] {
  const merged: Span[] = [];
  for (const s of [...spans].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last && s.from <= last.to) last.to = Math.max(last.to, s.to);
    else merged.push({ ...s });
  }
  return merged;
}

// clip cuts the spans to a range; its two ends stay on the axis, so that what was
// chosen is what is shown, an idle stretch at an end of it among it.
function clip(spans: Span[], within: Span): Span[] {
  const inside = spans.filter((s) => s.to > within.from && s.from < within.to).map((s) => ({ from: Math.max(s.from, within.from), to: Math.min(s.to, within.to) }));
  return [{ from: within.from, to: within.from }, ...inside, { from: within.to, to: within.to }];
}

// range reads a stretch of time from an address: two offsets in milliseconds from a
// beginning, such as 1200-5400. What is no range is none.
export function range(text: string | undefined, begin: number, whole: Span): Span | undefined {
  const m = /^(\d{1,15})-(\d{1,15})$/.exec(text ?? "");
  if (!m) return undefined;
  const from = Math.max(begin + Number(m[1]), whole.from), to = Math.min(begin + Number(m[2]), whole.to);
  return to > from ? { from, to } : undefined;
}

export const rangeText = (s: Span, begin: number) => `${Math.max(0, Math.floor(s.from - begin))}-${Math.max(0, Math.ceil(s.to - begin))}`;

// ticks are the beginnings of what is busy, so far as they stand apart, each with the
// one it is counted from: the first, or the first behind a long gap.
export function ticks(spans: Span[], a: Axis, apart: number): { t: number; anchor: number }[] {
  const out: { t: number; anchor: number }[] = [];
  let last = -Infinity;
  for (const s of join(spans)) {
    if (s.from < a.from || s.from > a.to) continue;
    const x = a.at(s.from);
    if (x - last < apart) continue;
    const before = out.at(-1);
    const far = !before || a.gaps.some((g) => g.to - g.from >= anewFromMs && g.from >= before.t && g.to <= s.from);
    out.push({ t: s.from, anchor: far ? s.from : before.anchor });
    last = x;
  }
  return out;
}
const anewFromMs = 60_000;

export function spanOf(a: Attempt, now: number): Span | undefined {
  const end = a.ended_at ? Date.parse(a.ended_at) : NaN;
  const from = a.started_at ? Date.parse(a.started_at) : end - (a.duration_ms ?? 0);
  if (Number.isNaN(from)) return undefined;
  return { from, to: Math.max(Number.isNaN(end) ? (a.outcome === "running" ? now : from + (a.duration_ms ?? 0)) : end, from + 1) };
}

// bandTo is the end of the usual durations beside an attempt that began at a time.
// One that is far longer than every attempt would press them together: it is cut.
export const bandTo = (usual: number, longest: number) => Math.min(usual, Math.max(longest, 1) * 3);
