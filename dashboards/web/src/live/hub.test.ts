import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Hub, type Hello, type Said } from "./hub";
import { Parser, type Ends } from "./sse";

type Line = { url: string; lastId: string; on: Ends; closed: boolean; topics: string[] };
let lines: Line[];
const hub = () => new Hub((url, lastId, on) => {
  const line = { url, lastId, on, closed: false, topics: new URL(url, "http://x").searchParams.getAll("topics") };
  lines.push(line);
  return () => void (line.closed = true);
});
const tab = () => { const heard: Said[] = []; return { heard, say: (m: Said) => void heard.push(m), kinds: () => heard.map((m) => (m.kind === "status" ? m.status : m.kind)) }; };
const hello = (more: Partial<Hello> = {}): Hello => ({ kind: "hello", who: "a", url: "/s", topics: ["tasks"], visible: true, ...more });
const update = (id: string, n: number, topic = "tasks", eventId = "") => ({ event: "update", id: eventId || undefined, data: JSON.stringify({ topic, task_id: id, events: [{ event_id: `${id}${n}`, type: "task_started" }] }) });
const at = (i: number) => lines.at(i)!;

beforeEach(() => { lines = []; vi.useFakeTimers(); });
afterEach(() => vi.useRealTimers());

describe("the hub", () => {
  it("opens one stream for all tabs, and gathers what it says", () => {
    const h = hub(), a = tab(), b = tab();
    h.hear(a, hello());
    h.hear(b, hello());
    at(0).on.open();
    for (let i = 0; i < 100; i++) at(0).on.message(update(`t${i % 10}`, i));
    expect(a.heard.some((m) => m.kind === "updates")).toBe(false);
    vi.advanceTimersByTime(300);
    for (const t of [a, b]) {
      const told = t.heard.filter((m) => m.kind === "updates");
      expect(told).toHaveLength(1);
      expect(told[0]!.updates).toHaveLength(10);
      expect(told[0]!.updates[0]!.events).toHaveLength(10);
    }
    expect(lines).toHaveLength(1);
  });
  it("tells of alerts once for many, and those alone who look at them", () => {
    const h = hub(), a = tab(), b = tab();
    h.hear(a, hello({ topics: ["tasks", "alerts"] }));
    h.hear(b, hello());
    at(0).on.open();
    for (let i = 0; i < 100; i++) at(0).on.message({ event: "alert", data: "{}" });
    vi.advanceTimersByTime(300);
    expect(a.kinds().filter((k) => k === "alerts")).toHaveLength(1);
    expect(b.kinds()).not.toContain("alerts");
  });
  it("keeps the old stream until one with more topics is in force, and does not open one for fewer", () => {
    const h = hub(), a = tab();
    h.hear(a, hello());
    at(0).on.open();
    h.hear(a, hello({ topics: ["tasks", "task:x"] }));
    vi.advanceTimersByTime(3000);
    expect(at(1).topics).toEqual(["tasks", "task:x"]);
    expect(at(0).closed).toBe(false);
    at(1).on.open();
    expect(at(0).closed).toBe(true);
    h.hear(a, hello());
    vi.advanceTimersByTime(5000);
    expect(lines).toHaveLength(2);
    expect(a.kinds()).not.toContain("stale");
  });
  it("loses nothing it had gathered when a stream takes over with a snapshot", () => {
    const h = hub(), a = tab();
    h.hear(a, hello());
    at(0).on.open();
    h.hear(a, hello({ topics: ["tasks", "task:x"] }));
    vi.advanceTimersByTime(3000);
    at(0).on.message(update("x", 1));
    at(1).on.open();
    at(1).on.message({ event: "snapshot", data: JSON.stringify({ topics: [] }) });
    vi.advanceTimersByTime(300);
    expect(a.heard.filter((m) => m.kind === "updates").flatMap((m) => m.updates.map((u) => u.task_id))).toEqual(["x"]);
  });
  it("never asks for more topics than the server takes", () => {
    const h = hub(), a = tab();
    h.hear(a, hello({ topics: ["tasks", ...Array.from({ length: 80 }, (_, i) => `task:${i}`)] }));
    expect(at(0).topics).toHaveLength(50);
    expect(at(0).topics[0]).toBe("tasks");
  });
  it("does without a topic that is not to be had", () => {
    const h = hub(), a = tab();
    h.hear(a, hello({ topics: ["tasks", "task:nobody"] }));
    at(0).on.gone(404, 0);
    vi.advanceTimersByTime(2000);
    expect(at(1).topics).toEqual(["tasks"]);
    at(1).on.open();
    expect(a.kinds().at(-1)).toBe("again");
    expect(a.kinds()).toContain("live");
  });
  it("comes back where it was, waits as it is told, and says that it is stale", () => {
    const h = hub(), a = tab();
    h.hear(a, hello());
    at(0).on.open();
    at(0).on.message(update("t", 1, "tasks", "id-7"));
    at(0).on.gone(0, 0);
    expect(a.kinds().at(-1)).toBe("stale");
    vi.advanceTimersByTime(1500);
    expect(at(1).lastId).toBe("id-7");
    at(1).on.gone(429, 20_000);
    vi.advanceTimersByTime(15_000);
    expect(lines).toHaveLength(2);
    vi.advanceTimersByTime(10_000);
    at(2).on.open();
    expect(a.kinds().slice(-2)).toEqual(["live", "again"]);
  });
  it("is quiet towards a hidden tab, rests where none is looked at, and tells to read anew", () => {
    const h = hub(), a = tab();
    h.hear(a, hello());
    at(0).on.open();
    h.hear(a, hello({ visible: false }));
    a.heard.length = 0;
    at(0).on.message(update("t", 1));
    vi.advanceTimersByTime(1000);
    expect(a.heard).toEqual([]);
    h.hear(a, hello());
    expect(a.kinds()).toEqual(["live", "again"]);
    h.hear(a, hello({ visible: false }));
    vi.advanceTimersByTime(21_000);
    expect(at(0).closed).toBe(true);
    expect(a.kinds().at(-1)).toBe("paused");
    h.hear(a, hello());
    at(1).on.open();
    expect(a.kinds().slice(-1)).toEqual(["again"]);
  });
  it("ends what was opened for another, and when the last tab goes", () => {
    const h = hub(), a = tab(), b = tab();
    h.hear(a, hello());
    at(0).on.open();
    h.hear(b, hello({ who: "b" }));
    expect(at(0).closed).toBe(true);
    expect(a.kinds()).toContain("refused");
    at(1).on.open();
    h.hear(b, { kind: "bye" });
    expect(at(1).closed).toBe(true);
  });
  it("survives garbage", () => {
    const h = hub(), a = tab();
    h.hear(a, hello());
    at(0).on.open();
    at(0).on.message({ event: "update", data: "{" });
    at(0).on.message({ event: "snapshot", data: "nonsense" });
    at(0).on.message({ event: "?", data: "" });
    vi.advanceTimersByTime(1000);
    expect(a.kinds()).toEqual(["connecting", "live", "again"]);
    expect(at(0).closed).toBe(false);
  });
});

describe("the parser", () => {
  it("reads a stream however it is cut", () => {
    const text = ": hello\n\nretry: 2000\n\nevent: update\r\nid: 7\r\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\n";
    for (let cut = 1; cut < text.length; cut++) {
      const p = new Parser();
      const got = [...p.feed(text.slice(0, cut)), ...p.feed(text.slice(cut))];
      expect(got, `cut at ${cut}`).toEqual([{ event: "update", data: '{"a":\n1}', id: "7" }, { event: "message", data: "x", id: undefined }]);
    }
  });
});
