// What became of what somebody asked for, out of the task's events. Pure, so that it
// can be tested.
import type { DeadLetter, Entry, TimelineEvent } from "../api/types";
import { duration, word } from "./format";
import { proof } from "./stop";

export type Did = { verb: "retry" | "edit" | "cancel" | "discard"; run: number };

// readDid reads what the address says was asked for, such as retry.2.
export function readDid(text: string | undefined): Did | undefined {
  const m = /^(retry|edit|cancel|discard)\.(\d{1,9})$/.exec(text ?? "");
  return m ? { verb: m[1] as Did["verb"], run: Number(m[2]) } : undefined;
}

export type Step = { what: string; at?: string; state: "done" | "waiting" | "bad"; more?: string };

const ends: Partial<Record<TimelineEvent["type"], string>> = { task_completed: "Completed", task_failed: "Failed", task_cancelled: "Stopped", task_lost: "Lost" };

// followed is how far it is, out of the task's events.
export function followed(did: Did, entries: Entry[], letter: Pick<DeadLetter, "status"> | undefined): Step[] {
  const events = entries.filter((e): e is TimelineEvent => e.type !== "gap" && e.run === did.run);
  const find = (...types: TimelineEvent["type"][]) => events.findLast((e) => types.includes(e.type));
  if (did.verb === "discard") {
    const e = find("dlq_discarded");
    return [e || letter?.status === "discarded" ? { what: "The dead letter has left the inbox", at: e?.occurred_at, state: "done", more: "it cannot be retried any more" } : { what: "Accepted", state: "done" }];
  }
  const asked = find(did.verb === "cancel" ? "cancel_requested" : "dlq_retry_requested");
  const steps: Step[] = [{ what: "Accepted", at: asked?.occurred_at, state: "done", more: asked?.operator?.reason ? `“${asked.operator.reason}”` : "" }];
  const ended = find("task_completed", "task_failed", "task_cancelled", "task_lost");
  if (did.verb === "cancel") {
    const ignored = find("cancel_ignored");
    if (ignored && !ended) steps.push({ what: "Not stopped", at: ignored.occurred_at, state: "bad", more: `${proof("ignored")}; the run ends with what its handler comes to` });
    else if (!ended) steps.push({ what: "Waits for the agent to stop it", state: "waiting" });
  } else {
    const taken = find("task_started", "attempt_started");
    steps.push(taken ? { what: "Taken by an agent", at: taken.occurred_at, state: "done", more: taken.agent } : { what: "Waits for an agent to take it", state: "waiting" });
    if (taken && !ended) steps.push({ what: "Runs", state: "waiting", more: `attempt ${find("attempt_started")?.attempt ?? 1}` });
  }
  if (ended) steps.push({ what: ends[ended.type] ?? word(ended.type), at: ended.occurred_at, state: (ended.type === "task_cancelled") === (did.verb === "cancel") && ended.type !== "task_failed" && ended.type !== "task_lost" ? "done" : "bad", more: [ended.type === "task_cancelled" ? proof(ended.stop_proof) : word(ended.failure_reason), ended.duration_ms ? `took ${duration(ended.duration_ms)}` : "", ended.error?.message].filter(Boolean).join(" · ") });
  return steps;
}
