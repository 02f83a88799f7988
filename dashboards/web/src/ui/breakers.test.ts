import { describe, expect, it } from "vitest";
import type { BreakerChange } from "../api/types";
import { lanes, openShare, trippedBy } from "./breakers";

const change = (s: number, state: BreakerChange["state"], more: Partial<BreakerChange> = {}): BreakerChange => ({ at: new Date(s * 1000).toISOString(), source_id: "a", state, ...more });

describe("lanes", () => {
  it("makes stretches of changes in any order, cut to the window", () => {
    const [l] = lanes([change(30, "closed"), change(10, "open", { agent: "w1" }), change(20, "half_open")], 15_000, 40_000);
    expect(l!.agent).toBe("w1");
    expect(l!.stretches.map((s) => [s.from, s.to, s.state, s.begunBefore])).toEqual([[15_000, 20_000, "open", true], [20_000, 30_000, "half_open", false], [30_000, 40_000, "closed", false]]);
    expect(openShare(l!)).toBeCloseTo(0.6);
  });
  it("makes nothing up before the first change, nor of one after the window", () => {
    const [l] = lanes([change(10, "open"), change(99, "closed")], 0, 50_000);
    expect(l!.stretches).toHaveLength(1);
    expect(l!.stretches[0]).toMatchObject({ from: 10_000, to: 50_000 });
  });
  it("keeps processes apart", () => {
    expect(lanes([change(1, "open"), change(2, "open", { source_id: "b" })], 0, 5000).map((l) => l.source)).toEqual(["a", "b"]);
  });
  it("finds what tripped a breaker last", () => {
    const list = [change(1, "open", { calls: 1 }), change(9, "closed"), change(5, "open", { calls: 20, failures: 12 })];
    expect(trippedBy(list, "a")).toMatchObject({ calls: 20, failures: 12 });
    expect(trippedBy(list, "b")).toBeUndefined();
  });
});
