// What one attempt has that the one before it had not. Pure, so that it can be tested.
import type { Attempt } from "../api/types";
import { duration, word } from "./format";

export type Difference = { what: string; before: string; after: string };

// Where an attempt ran and how its breaker stood is not always on record: what is
// not known is no difference.
const known = new Set(["Breaker", "Agent"]);
const facts: [what: string, of: (a: Attempt) => string | undefined][] = [
  ["Outcome", (a) => word(a.outcome)],
  ["Kind", (a) => a.error?.kind],
  ["Message", (a) => a.error?.message],
  ["Class", (a) => a.error?.class],
  ["Code", (a) => a.error?.code],
  ["Fingerprint", (a) => a.error?.fingerprint],
  ["Breaker", (a) => word(a.breaker?.state)],
  ["Agent", (a) => a.agent],
];

export const differences = (before: Attempt, after: Attempt): Difference[] =>
  facts.map(([what, of]) => ({ what, before: of(before) ?? "", after: of(after) ?? "" })).filter((d) => d.before !== d.after && (!known.has(d.what) || (d.before && d.after)));

// longer says in words how much longer or shorter the second was, where it matters.
export function longer(before: Attempt, after: Attempt): string {
  const a = before.duration_ms, b = after.duration_ms;
  if (a === undefined || b === undefined || Math.abs(a - b) < Math.max(20, a * 0.1)) return "";
  return b > a ? `${duration(b - a)} longer` : `${duration(a - b)} shorter`;
}

// against says how a duration stands to those that are usual.
export function against(ms: number, usual: { count: number; p50_ms: number; p95_ms: number } | undefined): string {
  if (!usual || usual.count < 5) return "";
  if (ms > usual.p95_ms) return `longer than 95 % of this type's successful attempts (${duration(usual.p95_ms)})`;
  if (ms > usual.p50_ms) return `within the usual for this type: half take less than ${duration(usual.p50_ms)}, 95 % less than ${duration(usual.p95_ms)}`;
  return `quick for this type: half take longer than ${duration(usual.p50_ms)}`;
}
