import { describe, expect, it } from "vitest";
import type { History } from "../api/types";
import { brief, ticks } from "./axis";
import { figure, trails } from "./history";

const nothing = { completed_runs: 0, failed_runs: 0, cancelled_runs: 0, lost_runs: 0, dead_letters: 0, failure_rate: 0, failed_attempts: 0, execution_time: { count: 0, average_ms: 0, p50_ms: 0, p95_ms: 0, p99_ms: 0 } };

describe("trails", () => {
  it("counts by the minute, the last step by what there is of it", () => {
    const h: History = {
      from: "2026-01-31T12:00:00Z", to: "2026-01-31T12:12:00Z", step_ms: 300_000, total: nothing, types: [],
      points: [
        { ...nothing, at: "2026-01-31T12:00:00Z", completed_runs: 40, failed_runs: 10, failure_rate: 0.2, execution_time: { count: 50, average_ms: 2, p50_ms: 1, p95_ms: 3, p99_ms: 4 } },
        { ...nothing, at: "2026-01-31T12:05:00Z" },
        { ...nothing, at: "2026-01-31T12:10:00Z", completed_runs: 16, cancelled_runs: 1, lost_runs: 1, dead_letters: 4 },
      ],
    };
    const t = trails(h);
    expect(t.completed).toEqual([8, 0, 8]);
    expect(t.failed).toEqual([2, 0, 0]);
    expect(t.stopped).toEqual([0, 0, 1]);
    expect(t.rate).toEqual([20, null, 0]);
    expect(t.p95).toEqual([3, null, null]);
    expect(t.letters).toEqual([0, 0, 2]);
    expect(t.times[1]! - t.times[0]!).toBe(300);
  });
});

describe("figure", () => {
  it("is as long as it needs to be", () => {
    expect([0, 0.05, 0.25, 1, 7.46, 42.4, 1300, 12_345, 2_500_000].map(figure)).toEqual(["0", "0.05", "0.3", "1", "7.5", "42", "1\u202f300", "12k", "2.5M"]);
  });
});

describe("ticks", () => {
  const at = Date.UTC(2026, 0, 31, 23, 0, 0) / 1000;
  it("says the day where it begins", () => expect(ticks([at, at + 3600, at + 7200], true)).toEqual(["23:00", "1 Feb", "01:00"]));
  it("says days alone where they are apart by days", () => expect(ticks([at, at + 86_400], true)).toEqual(["31 Jan", "1 Feb"]));
  it("says seconds where they matter", () => expect(ticks([at, at + 15], true)).toEqual(["23:00:00", "23:00:15"]));
});

describe("brief", () => {
  it("writes powers of ten in one unit", () => expect([0.1, 1, 100, 1000, 100_000, 1e8].map(brief)).toEqual(["0.1 ms", "1 ms", "100 ms", "1 s", "100 s", "28 h"]));
});
