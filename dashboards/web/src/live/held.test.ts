import { describe, expect, it } from "vitest";
import { Held } from "./held";
import type { Update } from "./stream";

const update = (id: string, n: number, more: Partial<Update> = {}): Update => ({ topic: "tasks", task_id: id, events: [{ event_id: `${id}${n}` } as Update["events"][number]], ...more });

describe("what is held under a question", () => {
  it("is one update a task, with its events in their order and its last state", () => {
    const h = new Held();
    h.add([update("a", 1, { task: { state: "retrying" } }), update("b", 1)]);
    h.add([update("a", 2, { task: { state: "in_progress" } })]);
    const { updates, missed } = h.release();
    expect(missed).toBe(false);
    expect(updates.map((u) => [u.task_id, u.events.map((e) => e.event_id)])).toEqual([["a", ["a1", "a2"]], ["b", ["b1"]]]);
    expect(updates[0]?.task?.state).toBe("in_progress");
    expect(h.release().updates).toEqual([]);
  });
  it("stays small under a storm, and says that there was more", () => {
    const h = new Held();
    for (let n = 0; n < 200; n++) h.add(Array.from({ length: 30 }, (_, i) => update(`t${i}`, n)));
    const first = h.release();
    expect(first.updates).toHaveLength(30);
    expect(first.missed).toBe(false);
    expect(Math.max(...first.updates.map((u) => u.events.length))).toBe(50);
    h.add(Array.from({ length: 3000 }, (_, i) => update(`t${i}`, 1)));
    expect(h.release()).toMatchObject({ missed: true, updates: { length: 2500 } });
    expect(h.release().missed).toBe(false);
  });
});
