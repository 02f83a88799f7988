// How a cancel went, in plain words. Pure, so that it can be tested.
import type { Entry, TimelineEvent } from "../api/types";

const proofs: Record<string, string> = {
  stopped: "its handler returned",
  not_running: "nothing of it was running, and nothing of it begins any more",
  ignored: "its handler still runs: it does not look at its context",
};

// proof says how a task stopped, or that it did not. Other agents' words stay theirs.
export const proof = (text: string | undefined) => (text ? (proofs[text] ?? text) : "");

export type StopStep = { name: string; state: "done" | "waiting" | "not"; at?: string; text: string };

// stopSteps is the last cancel of a task from the wish to its end: requested,
// delivered, acknowledged, stopped. Empty where nobody asked for one.
export function stopSteps(entries: Entry[]): StopStep[] {
  const events = entries.filter((e): e is TimelineEvent => e.type !== "gap");
  const asked = events.findLastIndex((e) => e.type === "cancel_requested");
  const of = asked < 0 ? events.find((e) => e.type === "task_cancelled") : events[asked];
  if (!of) return [];
  const after = (asked < 0 ? events : events.slice(asked + 1)).filter((e) => e.run === of.run);
  const find = (...types: TimelineEvent["type"][]) => after.find((e) => types.includes(e.type));
  const aborted = find("attempt_aborted"), ignored = find("cancel_ignored"), cancelled = find("task_cancelled");
  const otherwise = find("task_completed", "task_failed", "task_lost");
  const heard = [aborted, ignored, cancelled].filter((e) => e !== undefined).sort((a, b) => (a.occurred_at < b.occurred_at ? -1 : 1))[0];
  const who = of.operator?.actor ? `by ${of.operator.actor}` : "";
  const steps: StopStep[] = [{ name: "Requested", state: "done", at: of.occurred_at, text: [who, of.operator?.reason && `“${of.operator.reason}”`].filter(Boolean).join(": ") }];
  if (heard) steps.push({ name: "Delivered", state: "done", at: heard.occurred_at, text: "an agent of its queue has it" });
  else if (otherwise) steps.push({ name: "Delivered", state: "not", text: "it ended before anybody acted on it" });
  else steps.push({ name: "Delivered", state: "waiting", text: "no agent has answered yet" });
  if (aborted) steps.push({ name: "Acknowledged", state: "done", at: aborted.occurred_at, text: `attempt ${aborted.attempt} was told to stop and did; it does not count` });
  else if (cancelled) steps.push({ name: "Acknowledged", state: "done", at: cancelled.occurred_at, text: cancelled.stop_proof === "not_running" ? "no attempt ran" : "its agent ended the run" });
  else if (ignored) steps.push({ name: "Acknowledged", state: "not", at: ignored.occurred_at, text: "its context was cancelled, and its handler does not look at it" });
  else steps.push({ name: "Acknowledged", state: otherwise ? "not" : "waiting", text: "" });
  if (cancelled) steps.push({ name: "Stopped", state: "done", at: cancelled.occurred_at, text: proof(cancelled.stop_proof) });
  else if (otherwise) steps.push({ name: "Not stopped", state: "not", at: otherwise.occurred_at, text: { task_completed: "it completed all the same", task_failed: "it failed on its own", task_lost: "its agent went silent" }[otherwise.type as string] ?? "" });
  else if (ignored) steps.push({ name: "Not stopped", state: "not", text: "nothing can stop it from outside; the run ends with what its handler comes to" });
  else steps.push({ name: "Stopped", state: "waiting", text: "" });
  return steps;
}
