import { describe, expect, it } from "vitest";
import type { Attempt, Entry, Task } from "../../api/types";
import { axis } from "../../ui/lanes";
import { maxLanes, picture } from "./rows";

const zero = 1_700_000_000_000;
const iso = (ms: number) => new Date(zero + ms).toISOString();
const attempt = (run: number, n: number, from: number, to: number | undefined, more: object = {}) => ({ run, attempt: n, outcome: to === undefined ? "running" : "failed", started_at: iso(from), ended_at: to === undefined ? undefined : iso(to), duration_ms: to === undefined ? undefined : to - from, ...more }) as Attempt;
const event = (type: string, at: number, more: object = {}) => ({ event_id: `${type}-${at}`, type, severity: "info", namespace: "default", task_id: "t", run: 1, attempt: 0, occurred_at: iso(at), ...more }) as unknown as Entry;
const task = (more: object = {}) => ({ namespace: "default", task_id: "t", state: "failed", run: 1, attempt: 1, created_at: iso(0), updated_at: iso(0), ...more }) as Task;
const wait = (ms: number) => ({ next_attempt: 2, delay_ms: ms, reason: "backoff" });
const kinds = (p: ReturnType<typeof picture>) => p.rows.map((r) => r.key);
const two = [attempt(1, 1, 0, 900), attempt(1, 2, 3000, 4000, { wait: wait(2100) })];

describe("the picture of attempts", () => {
  it("has a lane an attempt, and the wait before it from the end of the one before", () => {
    const p = picture(task(), two, [], undefined, undefined, 0);
    expect(kinds(p)).toEqual(["idle", "1.1", "1.2", "axis"]);
    expect(p.rows[2]).toMatchObject({ wait: { from: zero + 900, to: zero + 3000, retry: { reason: "backoff" } } });
  });
  it("groups several runs, says how each began, and counts its wait from the request", () => {
    const entries = [event("dlq_retry_requested", 60_000, { run: 2, operator: { actor: "ann", reason: "the bank is back", input_patch: { a: 1 } } })];
    const p = picture(task({ run: 2 }), [...two, attempt(2, 1, 61_000, 62_000, { wait: { ...wait(0), reason: "manual" } })], entries, undefined, undefined, 0);
    expect(kinds(p)).toEqual(["idle", "run 1", "1.1", "1.2", "run 2", "2.1", "operators", "axis"]);
    expect(p.rows[4]).toMatchObject({ title: "edited and retried by ann: the bank is back" });
    expect(p.rows[5]).toMatchObject({ wait: { from: zero + 60_000 } });
    expect(kinds(picture(task({ run: 2 }), two, entries, undefined, 1, 0))).not.toContain("operators");
  });
  it("shows what comes next, and what runs up to now", () => {
    const p = picture(task({ state: "retrying", waiting: wait(10_000), next_attempt_at: iso(14_000) }), two, [], undefined, undefined, zero + 5000);
    expect(p.rows.find((r) => r.kind === "next")).toMatchObject({ next: 2, wait: { from: zero + 4000, to: zero + 14_000 } });
    expect(picture(task({ state: "in_progress" }), [attempt(1, 1, 0, undefined)], [], undefined, undefined, zero + 7000).whole.to).toBe(zero + 7000);
  });
  it("keeps an opened breaker in sight, also where it opened at the end", () => {
    const entries = [event("attempt_started", 0, { breaker: { state: "closed", provider: "bank" } }), event("circuit_breaker_opened", 4000, { breaker: { state: "open", provider: "bank", why: "failure_rate", calls: 20, failures: 14, open_until: iso(34_000) } })];
    const p = picture(task(), two, entries, undefined, undefined, 0);
    expect(p.breaker.map((b) => b.state)).toEqual(["closed", "open"]);
    expect(p.breaker[1]!.why).toBe("failure rate, 14 of 20 calls failed");
    const a = axis(p.busy);
    expect(a.at(p.breaker[1]!.to) - a.at(p.breaker[1]!.from)).toBeGreaterThan(0.05);
  });
  it("draws the usual durations where enough are known, and never lets them press the attempts together", () => {
    expect(picture(task(), two, [], { count: 4, p50_ms: 10, p95_ms: 20 }, undefined, 0).p95).toBe(0);
    expect(picture(task(), two, [], { count: 50, p50_ms: 500, p95_ms: 900 }, undefined, 0)).toMatchObject({ p50: 500, p95: 900 });
    expect(picture(task(), two, [], { count: 50, p50_ms: 500, p95_ms: 3_600_000 }, undefined, 0).p95).toBe(3000);
  });
  it("draws the last lanes of very many, and says how many there are before them", () => {
    const many = Array.from({ length: 250 }, (_, i) => attempt(1, i + 1, i * 1000, i * 1000 + 500));
    const p = picture(task(), many, [], undefined, undefined, 0);
    expect(p.rows.filter((r) => r.kind === "attempt")).toHaveLength(maxLanes);
    expect(p.earlier).toBe(150);
  });
});
