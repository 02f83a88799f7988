import { describe, expect, it } from "vitest";
import type { Task } from "../api/types";
import { merge, prune, reconcile } from "./merge";
import type { Update } from "./stream";

const at = (s: number) => new Date(1_800_000_000_000 + s * 1000).toISOString();
const row = (id: string, more: Partial<Task> = {}): Task => ({ namespace: "default", task_id: id, state: "in_progress", run: 1, attempt: 1, created_at: at(0), updated_at: at(0), ...more }) as Task;
const update = (id: string, type: string, task: Update["task"], more: object = {}): Update => ({
  topic: "tasks", task_id: id, task, events: [{ event_id: "x", namespace: "default", task_id: id, type, severity: "info", run: task?.run ?? 1, attempt: 0, occurred_at: at(5), ...more } as Update["events"][number]],
});

describe("merge", () => {
  it("adds a task that was not there", () => {
    expect(merge([], [update("a", "task_created", { state: "pending", run: 1, attempt: 0 })])[0]).toMatchObject({ task_id: "a", state: "pending" });
  });
  it("does not add a task that has ended", () => {
    expect(merge([], [update("a", "task_completed", { state: "completed", run: 1 })])).toEqual([]);
  });
  it("shows what a retry waits for, until the attempt begins", () => {
    const waiting = merge([row("a")], [update("a", "task_retried", { state: "retrying", run: 1, attempt: 1 }, { retry: { next_attempt: 2, delay_ms: 3000, reason: "backoff" } })]);
    expect(waiting[0]).toMatchObject({ state: "retrying", next_attempt_at: at(8) });
    expect(merge(waiting, [update("a", "attempt_started", { state: "in_progress", run: 1, attempt: 2 })])[0]?.waiting).toBeUndefined();
  });
  it("leaves a later run alone when an earlier one speaks late", () => {
    expect(merge([row("a", { run: 2 })], [update("a", "task_failed", { state: "failed", run: 1 })])[0]).toMatchObject({ run: 2, state: "in_progress" });
  });
  it("takes attempts and progress from the API, and what is newer from the stream", () => {
    const progress = { done: 1, total: 2, fraction: 0.5 };
    const rows = reconcile([row("a", { updated_at: at(9), state: "cancelled" }), row("b"), row("gone")], [row("a", { updated_at: at(5), progress }), row("b", { attempt: 2, updated_at: at(3) })], Date.parse(at(10)));
    expect(rows.map((t) => [t.task_id, t.state, t.attempt])).toEqual([["a", "cancelled", 1], ["b", "in_progress", 2]]);
    expect(rows[0]?.progress).toEqual(progress);
  });
  it("keeps an ended task for a moment, then lets it go", () => {
    const rows = merge([row("a")], [update("a", "task_completed", { state: "completed", run: 1 })]);
    expect(prune(rows, Date.parse(at(7)))).toHaveLength(1);
    expect(prune(rows, Date.parse(at(11)))).toHaveLength(0);
  });
});
