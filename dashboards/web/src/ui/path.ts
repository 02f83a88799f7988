// The states a task went through, out of its events. Pure, so that it can be tested.
import type { Entry, State } from "../api/types";

const leads: Partial<Record<Entry["type"], State>> = {
  task_created: "pending", attempt_started: "in_progress", task_retried: "retrying", dlq_retry_requested: "retrying", task_completed: "completed", task_failed: "failed", task_cancelled: "cancelled", task_lost: "lost",
};

export type Step = { state: State; at: string; run: number };

// path is the way to the state that the task is in now. A state that is entered again
// at once is one step.
export function path(entries: Entry[], now: State, run: number): Step[] {
  const steps: Step[] = [];
  for (const e of entries) {
    const state = leads[e.type];
    const last = steps.at(-1);
    if (state && (last?.state !== state || last.run !== e.run)) steps.push({ state, at: e.occurred_at, run: e.run });
  }
  if (steps.at(-1)?.state !== now) steps.push({ state: now, at: entries.at(-1)?.occurred_at ?? "", run });
  return steps;
}

// short leaves out the middle of a long way, and says how much.
export function short(steps: Step[], most = 7): (Step | number)[] {
  return steps.length <= most ? steps : [...steps.slice(0, 2), steps.length - (most - 1), ...steps.slice(2 - (most - 1))];
}
