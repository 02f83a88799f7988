// What a live update makes of a list of tasks. Pure, so that it can be tested.
import type { Task } from "../api/types";
import { isActive } from "../ui/format";
import type { Update } from "./stream";

const newestFirst = (a: Task, b: Task) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.task_id < b.task_id ? -1 : 1);

function apply(row: Task | undefined, u: Update): Task | undefined {
  if (u.row) {
    // The stream runs ahead of the store: what is newer here stays.
    return row && (row.run > u.row.run || (row.run === u.row.run && row.updated_at > u.row.updated_at)) ? { ...row, progress: u.row.progress ?? row.progress } : u.row;
  }
  let t = row;
  for (const e of u.events) {
    if (!t) {
      t = {
        namespace: e.namespace, task_id: e.task_id, type: e.task_type, queue: e.queue, runner: e.runner, agent: e.agent, provider: e.provider, user_id: e.user_id,
        amount: e.amount, currency: e.currency, max_attempts: e.max_attempts, state: "pending", run: e.run, attempt: e.attempt, created_at: e.occurred_at, updated_at: e.occurred_at,
      } as Task;
    }
    if (e.run < t.run) continue;
    t = { ...t, updated_at: e.occurred_at > t.updated_at ? e.occurred_at : t.updated_at, breaker: e.breaker ?? t.breaker, error: e.error ?? t.error };
    if (e.run > t.run) t = { ...t, run: e.run, attempt: 0, progress: undefined, error: undefined };
    if (e.type === "task_retried" && e.retry) t = { ...t, waiting: e.retry, next_attempt_at: new Date(Date.parse(e.occurred_at) + e.retry.delay_ms).toISOString() };
    if (e.type === "attempt_started") t = { ...t, waiting: undefined, next_attempt_at: undefined, started_at: t.started_at ?? e.occurred_at };
    if (e.type === "cancel_requested") t = { ...t, cancel_requested_at: e.occurred_at, cancel_ignored_at: undefined };
    if (e.type === "cancel_ignored") t = { ...t, cancel_ignored_at: e.occurred_at };
  }
  if (!t || !u.task || (u.task.run ?? 0) < t.run) return t;
  return { ...t, state: u.task.state || t.state, attempt: Math.max(t.attempt, u.task.attempt ?? 0), progress: u.task.progress ?? t.progress };
}

// merge returns the rows after some updates. A task that ended stays until prune:
// it shall be seen to end.
export function merge(rows: Task[], updates: Update[]): Task[] {
  const at = new Map<string, number>();
  rows.forEach((t, i) => at.set(t.task_id, i));
  const next = [...rows];
  let added = false;
  for (const u of updates) {
    const i = at.get(u.task_id);
    const before = i === undefined ? undefined : next[i];
    const after = apply(before, u);
    if (!after || after === before || (!before && !isActive(after.state))) continue;
    if (i !== undefined) {
      if (before!.created_at !== after.created_at) added = true;
      next[i] = after;
    } else {
      at.set(u.task_id, next.push(after) - 1);
      added = true;
    }
  }
  // A task that goes on stands where it stood.
  return added ? next.sort(newestFirst) : next;
}

export function prune(rows: Task[], now: number, keepMs = 5000): Task[] {
  const left = rows.filter((t) => isActive(t.state) || now - Date.parse(t.updated_at) < keepMs);
  return left.length === rows.length ? rows : left;
}

// reconcile is what an answer of the API makes of the rows. The stream runs ahead of
// the store, so what is newer here stays; and the topic of all tasks carries neither
// attempts nor progress, so those come from the answer.
export function reconcile(old: Task[], answer: Task[], now: number, keepMs = 5000): Task[] {
  const before = new Map(old.map((t) => [t.task_id, t]));
  const rows = answer.map((t) => {
    const o = before.get(t.task_id);
    before.delete(t.task_id);
    return o && (o.run > t.run || (o.run === t.run && o.updated_at > t.updated_at)) ? { ...o, progress: t.progress ?? o.progress } : t;
  });
  for (const o of before.values()) if (now - Date.parse(o.updated_at) < keepMs) rows.push(o);
  return rows.sort(newestFirst);
}
