import { describe, expect, it } from "vitest";
import { from, join } from "./timeline";
import type { Entry } from "./types";

const event = (n: number) => ({ event_id: `e${n}`, type: "attempt_started", run: 1 }) as unknown as Entry;
const gap = { type: "gap", run: 1, gap: { from_seq: 1, to_seq: 2 } } as unknown as Entry;
const many = (n: number) => Array.from({ length: n }, (_, i) => event(i));

describe("a long timeline", () => {
  it("is read whole where it is short, unknown, or was not for long", () => {
    expect(from(undefined, 0)).toBe(-1);
    expect(from({ entries: many(999), wholeAt: 0 }, 0)).toBe(-1);
    expect(from({ entries: many(2000), wholeAt: 0 }, 300_001)).toBe(-1);
    expect(from({ entries: many(2000), wholeAt: 0 }, 1)).toBe(1800);
  });
  it("is read behind an event, not behind a gap", () => {
    const entries = many(2000);
    entries[1800] = gap;
    expect(from({ entries, wholeAt: 0 }, 1)).toBe(1799);
  });
  it("keeps what did not change, and takes what is new, late or gone", () => {
    const known = [event(0), event(1), event(2), gap, event(4)];
    const next = join(known, 1, [event(2), event(3), event(4), event(5)]);
    expect(next.map((e) => (e as { event_id?: string }).event_id)).toEqual(["e0", "e1", "e2", "e3", "e4", "e5"]);
    expect([next[0], next[2], next[4]]).toEqual([known[0], known[2], known[4]]);
    expect(next[2]).toBe(known[2]);
  });
  it("is the very same where nothing changed", () => {
    const known = many(5);
    expect(join(known, 2, [event(3), event(4)])).toBe(known);
  });
});
