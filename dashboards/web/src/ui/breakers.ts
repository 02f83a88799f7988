// A breaker's life as stretches of time. Pure, so that it can be tested.
import type { BreakerChange } from "../api/types";

export type Stretch = { from: number; to: number; state: BreakerChange["state"]; change: BreakerChange; begunBefore: boolean };
export type Lane = { source: string; agent: string; stretches: Stretch[] };

// lanes makes one lane a process out of changes, in any order. What was before the
// first known change is not known and stays empty: nothing is made up.
export function lanes(changes: BreakerChange[], from: number, to: number): Lane[] {
  const by = new Map<string, BreakerChange[]>();
  for (const c of changes) by.set(c.source_id, [...(by.get(c.source_id) ?? []), c]);
  const out: Lane[] = [];
  for (const [source, list] of by) {
    list.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    const stretches: Stretch[] = [];
    for (let i = 0; i < list.length; i++) {
      const at = Date.parse(list[i]!.at);
      const end = i + 1 < list.length ? Date.parse(list[i + 1]!.at) : to;
      if (Number.isNaN(at) || end <= from || at >= to) continue;
      stretches.push({ from: Math.max(at, from), to: Math.min(end, to), state: list[i]!.state, change: list[i]!, begunBefore: at < from });
    }
    if (stretches.length) out.push({ source, agent: list.findLast((c) => c.agent)?.agent ?? "", stretches });
  }
  return out.sort((a, b) => (a.agent + a.source < b.agent + b.source ? -1 : 1));
}

// openShare is the part of the known time that a lane was not closed.
export function openShare(l: Lane): number {
  const known = l.stretches.reduce((n, s) => n + s.to - s.from, 0);
  return known ? l.stretches.reduce((n, s) => n + (s.state === "closed" ? 0 : s.to - s.from), 0) / known : 0;
}

// trippedBy is the change that opened a breaker last: it carries the counts.
export const trippedBy = (changes: BreakerChange[], source: string): BreakerChange | undefined =>
  changes.filter((c) => c.source_id === source && c.state === "open").sort((a, b) => Date.parse(b.at) - Date.parse(a.at))[0];
