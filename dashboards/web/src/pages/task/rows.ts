// The rows of the picture of a task's attempts, from the top down. Pure, so that it
// can be tested.
import type { Attempt, Entry, Retry, Task } from "../../api/types";
import { bandTo, spanOf, type Span } from "../../ui/lanes";
import { breakerLane, operatorMarks, type BreakerStretch, type OperatorMark } from "../../ui/tasklane";

export type AttemptRow = { kind: "attempt"; key: string; attempt: Attempt; before?: Attempt; span?: Span; wait?: Span & { retry: Retry } };
export type Row =
  | { kind: "idle"; key: string }
  | { kind: "run"; key: string; run: number; title: string }
  | AttemptRow
  | { kind: "next"; key: string; next: number; at: string; retry: Retry; wait: Span }
  | { kind: "breaker"; key: string }
  | { kind: "operators"; key: string }
  | { kind: "axis"; key: string };

export const heights: Record<Row["kind"], number> = { idle: 20, run: 28, attempt: 42, next: 42, breaker: 30, operators: 30, axis: 24 };
export type Usual = { count: number; p50_ms: number; p95_ms: number };
export type Picture = { rows: Row[]; busy: Span[]; whole: Span; breaker: BreakerStretch[]; marks: OperatorMark[]; p50: number; p95: number; earlier: number };

// More lanes than this say nothing any more: the last are drawn, the others are
// reached by their run.
export const maxLanes = 100;
const fewUsual = 5;
const openShare = 0.14;
export const keyOf = (a: Attempt) => `${a.run}.${a.attempt}`;

// picture lays out the attempts of a task, or of one of its runs.
export function picture(task: Task, all: Attempt[], entries: Entry[], usual: Usual | undefined, run: number | undefined, now: number): Picture {
  const mine = run ? all.filter((a) => a.run === run) : all;
  const shown = mine.slice(-maxLanes);
  const of = run ? entries.filter((e) => e.run === run) : entries;
  const spans = shown.map((a) => spanOf(a, now));
  const longest = Math.max(0, ...spans.map((s) => (s ? s.to - s.from : 0)));
  const known = usual && usual.count >= fewUsual ? usual : undefined;
  const p50 = known ? bandTo(known.p50_ms, longest) : 0, p95 = known ? bandTo(known.p95_ms, longest) : 0;
  const first = spans.find((s) => s)?.from ?? -Infinity;
  const marks = operatorMarks(of).filter((m) => m.at >= first || mine.length === shown.length);
  const next = task.state === "retrying" && task.waiting && task.next_attempt_at && (!run || run === task.run) ? { at: Date.parse(task.next_attempt_at), iso: task.next_attempt_at, retry: task.waiting } : undefined;
  const busy: Span[] = spans.flatMap((s) => (s ? [s, { from: s.from, to: s.from + p95 }] : []));
  const point = (t: number) => !Number.isNaN(t) && busy.push({ from: t, to: t });
  for (const m of marks) point(m.at);
  if (next) point(next.at);
  // The breaker's lane ends where the rest does: its own open time may reach further.
  const end = Math.max(...busy.map((b) => b.to), -Infinity);
  const breaker = breakerLane(of, end).filter((b) => b.to > first);
  for (const b of breaker) if (b.from >= first) point(b.from);
  // That one was open shall be seen, also where nothing else happened meanwhile.
  const total = busy.reduce((n, b) => n + b.to - b.from, 0);
  for (const b of breaker) {
    if (b.state !== "open") continue;
    if (b === breaker.at(-1)) b.to = Math.max(b.to, b.from + total * openShare);
    busy.push({ from: b.from, to: Math.min(b.to, b.from + total * openShare) });
  }
  const whole = { from: Math.min(...busy.map((b) => b.from)), to: Math.max(...busy.map((b) => b.to)) };

  const rows: Row[] = [{ kind: "idle", key: "idle" }];
  const several = new Set(all.map((a) => a.run)).size > 1 || all.some((a) => a.run > 1);
  shown.forEach((a, i) => {
    const before = shown[i - 1];
    if (several && before?.run !== a.run) rows.push({ kind: "run", key: `run ${a.run}`, run: a.run, title: titleOf(a.run, entries) });
    const s = spans[i], b = spans[i - 1];
    const asked = a.run > (before?.run ?? a.run) ? marks.find((m) => m.run === a.run && m.at < (s?.from ?? 0))?.at : undefined;
    const from = Math.max(b?.to ?? NaN, asked ?? -Infinity);
    const wait = a.wait && s && s.from > from ? { from, to: s.from, retry: a.wait } : undefined;
    rows.push({ kind: "attempt", key: keyOf(a), attempt: a, before, span: s, wait });
  });
  const lastSpan = spans.at(-1);
  if (next && lastSpan) rows.push({ kind: "next", key: "next", next: next.retry.next_attempt, at: next.iso, retry: next.retry, wait: { from: lastSpan.to, to: Math.max(next.at, lastSpan.to) } });
  if (breaker.length) rows.push({ kind: "breaker", key: "breaker" });
  if (marks.length) rows.push({ kind: "operators", key: "operators" });
  rows.push({ kind: "axis", key: "axis" });
  return { rows, busy, whole, breaker, marks, p50, p95, earlier: mine.length - shown.length };
}

// titleOf says how a run began.
function titleOf(run: number, entries: Entry[]): string {
  const asked = operatorMarks(entries).find((m) => m.run === run && (m.sign === "↻" || m.sign === "✎"));
  if (asked) return `${asked.sign === "✎" ? "edited and retried" : "retried"}${asked.who ? ` by ${asked.who}` : ""}${asked.why ? `: ${asked.why}` : ""}`;
  const recovered = entries.some((e) => e.type === "task_retried" && e.run === run && e.retry?.reason === "auto_recover");
  return recovered ? "by itself, after the breaker closed" : run === 1 ? "the first" : "";
}
