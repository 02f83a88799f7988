import { describe, expect, it } from "vitest";
import { axis, bandTo, range, rangeText, ticks } from "./lanes";

const apart = [{ from: 0, to: 100 }, { from: 10_000, to: 10_100 }];

describe("axis", () => {
  it("keeps order and stays within 0 and 1", () => {
    const a = axis(apart);
    const xs = [0, 50, 100, 5000, 10_000, 10_100].map(a.at);
    expect([...xs].sort((p, q) => p - q)).toEqual(xs);
    expect(xs[0]).toBe(0);
    expect(xs.at(-1)).toBeCloseTo(1);
  });
  it("folds a long idle stretch and says how long it was", () => {
    const a = axis(apart);
    expect(a.gaps).toHaveLength(1);
    expect(a.gaps[0]).toMatchObject({ from: 100, to: 10_000 });
    expect(a.at(100)).toBeGreaterThan(0.4);
  });
  it("keeps a short wait as it is", () => {
    expect(axis([{ from: 0, to: 100 }, { from: 110, to: 200 }]).gaps).toHaveLength(0);
  });
  it("has nothing to lay out without attempts", () => {
    expect(axis([]).at(5)).toBe(0);
    expect(axis([]).time(0.5)).toBe(0);
  });
  it("finds the time of a place again", () => {
    const a = axis([...apart, { from: 10_150, to: 10_150 }]);
    for (const t of [0, 30, 100, 4000, 10_000, 10_060, 10_150]) expect(a.time(a.at(t))).toBeCloseTo(t, 6);
  });
  it("shows a part of itself, to both of its ends", () => {
    const a = axis(apart, { from: 50, to: 10_050 });
    expect([a.from, a.to]).toEqual([50, 10_050]);
    expect(a.at(50)).toBe(0);
    expect(a.at(10_050)).toBeCloseTo(1);
    const idle = axis(apart, { from: 200, to: 400 });
    expect(idle.at(300)).toBeCloseTo(0.5);
  });
  it("leaves room for what is busy, however many gaps there are", () => {
    const a = axis(Array.from({ length: 40 }, (_, i) => ({ from: i * 10_000, to: i * 10_000 + 10 })));
    expect(a.gaps).toHaveLength(39);
    expect(a.width * 39).toBeLessThanOrEqual(0.5);
    expect(a.at(39 * 10_000 + 10)).toBeCloseTo(1);
  });
});

it("counts ticks anew behind a long gap, and leaves out those that would lie on one another", () => {
  const spans = [{ from: 0, to: 1000 }, { from: 3000, to: 4000 }, { from: 3_600_000, to: 3_601_000 }, { from: 3_601_010, to: 3_602_000 }];
  const t = ticks(spans, axis(spans), 0.05);
  expect(t).toEqual([{ t: 0, anchor: 0 }, { t: 3000, anchor: 0 }, { t: 3_600_000, anchor: 3_600_000 }, { t: 3_601_010, anchor: 3_600_000 }]);
  expect(ticks(spans, axis(spans), 0.9)).toHaveLength(1);
});
it("reads a range from an address, and writes it there", () => {
  const whole = { from: 1000, to: 9000 };
  expect(range("500-2000", 1000, whole)).toEqual({ from: 1500, to: 3000 });
  expect(rangeText({ from: 1500, to: 3000 }, 1000)).toBe("500-2000");
  expect(range("0-999999", 1000, whole)).toEqual(whole);
  for (const wrong of [undefined, "", "5", "9-3", "-1-5", "a-b", "90000-99999"]) expect(range(wrong, 1000, whole)).toBeUndefined();
});
it("cuts a usual duration that is far longer than the attempts", () => {
  expect(bandTo(100, 80)).toBe(100);
  expect(bandTo(10_000, 80)).toBe(240);
});
