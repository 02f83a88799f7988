import { describe, expect, it } from "vitest";
import { duration, json, moment, printable, why } from "./format";

describe("format", () => {
  it.each([[12.4, "12 ms"], [1500, "1.5 s"], [61_000, "1 min 1 s"], [3_720_000, "1 h 2 min"], [90_000_000, "1 d 1 h"]])("writes %d ms as %s", (ms, text) => expect(duration(ms)).toBe(text));
  it("says the future and the past", () => {
    const now = Date.parse("2026-01-31T12:00:00Z");
    expect(moment("2026-01-31T11:59:58Z", "relative", now)).toBe("2.0 s ago");
    expect(moment("2026-01-31T12:00:05Z", "relative", now)).toBe("in 5.0 s");
    expect(moment("2026-01-31T12:00:05Z", "utc", now)).toBe("2026-01-31 12:00:05 UTC");
    expect(moment("2026-01-31T11:29:58Z", "relative", now, true)).toBe("30 min 2 s ago");
    expect(moment("garbage", "relative", now)).toBe("garbage");
  });
  it.each([["11:58:30", "1 min 30 s ago"], ["11:35:05", "24 min ago"], ["10:00:00", "2 h ago"], ["09:55:00", "2 h 5 min ago"]])("is as exact as one cares: %s", (at, text) => expect(moment(`2026-01-31T${at}Z`, "relative", Date.parse("2026-01-31T12:00:00Z"))).toBe(text));
  it("writes JSON that is still JSON, with such marks escaped", () => {
    expect(json({ a: "x\u202ey" })).toContain("x\\u202ey");
    expect(JSON.parse(json({ a: "x\u202e\n" }))).toEqual({ a: "x\u202e\n" });
    expect(json(undefined)).toBe("");
  });
  it("makes marks visible that turn text around", () => expect(printable("a\u202eb")).toBe("a\\u202eb"));
  it("says where a backoff comes from", () => expect(why({ next_attempt: 2, delay_ms: 1, reason: "backoff", base_ms: 1000, factor: 2, jitter_drawn: 1.07 })).toBe("backoff: base 1.0 s, × 2 an attempt, jitter drawn × 1.07"));
});
