// What a task's own events tell of the breaker that guards it, and of what operators
// did, as stretches and marks on the axis of its attempts. Pure, so that it can be
// tested.
import type { Entry, TimelineEvent } from "../api/types";
import type { Span } from "./lanes";

export type BreakerStretch = Span & { state: "closed" | "open" | "half_open"; provider: string; why: string };

const turned: Partial<Record<TimelineEvent["type"], BreakerStretch["state"]>> = { circuit_breaker_opened: "open", circuit_breaker_half_opened: "half_open", circuit_breaker_closed: "closed" };

// breakerLane is what is known of the breaker from the first event that tells of it
// on. An open one whose time is over is known no more, until the next event.
export function breakerLane(entries: Entry[], to: number): BreakerStretch[] {
  const out: BreakerStretch[] = [];
  for (const e of entries) {
    if (e.type === "gap" || !e.breaker) continue;
    const state = turned[e.type] ?? (e.breaker.state || undefined);
    const at = Date.parse(e.occurred_at);
    if (!state || Number.isNaN(at) || at > to) continue;
    const last = out.at(-1);
    const provider = e.breaker.provider || e.provider || "";
    if (last && last.to >= at) {
      if (last.state === state && last.provider === provider) continue;
      last.to = at;
    }
    const until = state === "open" && e.breaker.open_until ? Date.parse(e.breaker.open_until) : NaN;
    out.push({ from: at, to: Number.isNaN(until) ? to : Math.min(to, Math.max(until, at)), state, provider, why: whyOpen(e) });
  }
  return out.filter((s, i) => s.to > s.from || i === out.length - 1);
}

function whyOpen(e: TimelineEvent): string {
  const b = e.breaker;
  if (!b || e.type !== "circuit_breaker_opened") return "";
  return [b.why?.replaceAll("_", " "), b.calls ? `${b.failures ?? 0} of ${b.calls} calls failed` : "", b.consecutive_failures ? `${b.consecutive_failures} in a row` : ""].filter(Boolean).join(", ");
}

export type OperatorMark = { at: number; time: string; sign: string; what: string; who: string; why: string; id: string; run: number };

const operators: Partial<Record<TimelineEvent["type"], [sign: string, what: string]>> = {
  dlq_retry_requested: ["↻", "retry asked for"], cancel_requested: ["⊘", "cancel asked for"], cancel_ignored: ["!", "goes on in spite of the cancel"], task_cancelled: ["■", "stopped"], dlq_discarded: ["✕", "discarded"],
};

export function operatorMarks(entries: Entry[]): OperatorMark[] {
  return entries.flatMap((e) => {
    const is = e.type === "gap" ? undefined : operators[e.type];
    if (!is || e.type === "gap") return [];
    const edited = e.type === "dlq_retry_requested" && (e.operator?.input_patch !== undefined || !!e.operator?.input_sha256_after);
    return [{ at: Date.parse(e.occurred_at), time: e.occurred_at, sign: edited ? "✎" : is[0], what: edited ? "retry with an edited input asked for" : is[1], who: e.operator?.actor ?? "", why: e.operator?.reason ?? "", id: e.event_id, run: e.run }];
  });
}
