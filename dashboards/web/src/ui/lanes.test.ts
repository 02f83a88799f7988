import { describe, expect, it } from "vitest";
import { axis } from "./lanes";

describe("axis", () => {
  it("keeps order and stays within 0 and 1", () => {
    const a = axis([{ from: 0, to: 100 }, { from: 10_000, to: 10_100 }]);
    const xs = [0, 50, 100, 5000, 10_000, 10_100].map(a.at);
    expect([...xs].sort((p, q) => p - q)).toEqual(xs);
    expect(xs[0]).toBe(0);
    expect(xs.at(-1)).toBeCloseTo(1);
  });
  it("folds a long idle stretch and says how long it was", () => {
    const a = axis([{ from: 0, to: 100 }, { from: 10_000, to: 10_100 }]);
    expect(a.gaps).toHaveLength(1);
    expect(a.gaps[0]).toMatchObject({ from: 100, to: 10_000 });
    expect(a.at(100)).toBeGreaterThan(0.4);
  });
  it("keeps a short wait as it is", () => {
    expect(axis([{ from: 0, to: 100 }, { from: 110, to: 200 }]).gaps).toHaveLength(0);
  });
  it("has nothing to lay out without attempts", () => {
    expect(axis([]).at(5)).toBe(0);
  });
});
