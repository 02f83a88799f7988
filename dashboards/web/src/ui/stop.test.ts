import { expect, it } from "vitest";
import type { Entry } from "../api/types";
import { followed, readDid } from "./followed";
import { path, short } from "./path";
import { proof, stopSteps } from "./stop";

let at = 0;
const event = (type: string, more: object = {}) => ({ event_id: `${type}-${at}`, type, severity: "info", namespace: "default", task_id: "t", run: 1, attempt: 0, occurred_at: new Date(1_700_000_000_000 + at++ * 1000).toISOString(), ...more }) as unknown as Entry;
const told = (entries: Entry[]) => stopSteps(entries).map((s) => `${s.name}: ${s.state}`);
const asked = () => event("cancel_requested", { operator: { actor: "ann", reason: "not wanted" } });

it("nobody asked for a cancel", () => expect(stopSteps([event("task_created")])).toEqual([]));
it("a cancel that nobody has answered yet", () => {
  expect(told([event("attempt_started"), asked()])).toEqual(["Requested: done", "Delivered: waiting", "Acknowledged: waiting", "Stopped: waiting"]);
  expect(stopSteps([asked()])[0]!.text).toBe("by ann: “not wanted”");
});
it("a handler that returned, in plain words", () => {
  const steps = stopSteps([asked(), event("attempt_aborted", { attempt: 1 }), event("task_cancelled", { stop_proof: "stopped" })]);
  expect(steps.map((s) => s.state)).toEqual(["done", "done", "done", "done"]);
  expect(steps[3]!.text).toBe("its handler returned");
});
it("a handler that does not look at its context", () => {
  const entries = [asked(), event("cancel_ignored", { attempt: 1, stop_proof: "ignored" })];
  expect(told(entries)).toEqual(["Requested: done", "Delivered: done", "Acknowledged: not", "Not stopped: not"]);
  expect(stopSteps([...entries, event("task_completed")])[3]!.text).toBe("it completed all the same");
});
it("a task of which nothing ran", () => {
  expect(stopSteps([asked(), event("task_cancelled", { stop_proof: "not_running" })])[3]!.text).toMatch(/nothing of it was running/);
});
it("keeps the words of other agents", () => expect(proof("the container was killed")).toBe("the container was killed"));

it("a retry is followed from its acceptance to its end", () => {
  const did = readDid("retry.2")!;
  const two = (type: string, more: object = {}) => event(type, { run: 2, ...more });
  const life = [two("dlq_retry_requested", { operator: { actor: "ann", reason: "again" } }), two("task_started", { agent: "worker-1" }), two("attempt_started", { attempt: 1 }), two("task_completed", { duration_ms: 180 })];
  const states = (n: number) => followed(did, [event("task_failed"), ...life.slice(0, n)], undefined).map((s) => `${s.what}: ${s.state}`);
  expect(states(1)).toEqual(["Accepted: done", "Waits for an agent to take it: waiting"]);
  expect(states(3)).toEqual(["Accepted: done", "Taken by an agent: done", "Runs: waiting"]);
  expect(states(4)).toEqual(["Accepted: done", "Taken by an agent: done", "Completed: done"]);
  expect(followed(did, [two("task_failed", { failure_reason: "permanent" })], undefined).at(-1)).toMatchObject({ what: "Failed", state: "bad", more: "permanent" });
});
it("what the address says was asked for is read, or nothing", () => {
  expect(readDid("edit.3")).toEqual({ verb: "edit", run: 3 });
  for (const wrong of [undefined, "", "retry", "drop.1", "retry.x", "retry.9999999999"]) expect(readDid(wrong)).toBeUndefined();
});

it("the way through the states has each of them once in a row, and its middle can be left out", () => {
  const steps = path([event("task_created"), event("task_started"), event("attempt_started"), event("task_retried"), event("attempt_started"), event("task_completed")], "completed", 1);
  expect(steps.map((s) => s.state)).toEqual(["pending", "in_progress", "retrying", "in_progress", "completed"]);
  expect(path([event("task_created")], "lost", 1).at(-1)!.state).toBe("lost");
  const long = Array.from({ length: 20 }, (_, i) => ({ ...steps[0]!, at: String(i) }));
  const cut = short(long);
  expect(cut).toHaveLength(7);
  expect(cut.filter((s) => typeof s !== "number").length + (cut.find((s) => typeof s === "number") as number)).toBe(20);
});
