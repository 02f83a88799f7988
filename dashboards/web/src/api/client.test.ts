import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { get, Problem, Send } from "./client";

type Seen = { url: string; init: RequestInit };
let seen: Seen[];
let answer: () => Response | Promise<Response>;
const json = (status: number, body: unknown, headers: Record<string, string> = {}) => () => new Response(JSON.stringify(body), { status, headers });
const key = (s: Seen | undefined) => (s?.init.headers as Record<string, string>)["Idempotency-Key"];

beforeEach(() => {
  seen = [];
  vi.stubGlobal("location", { search: "", origin: "http://x" });
  vi.stubGlobal("localStorage", { getItem: () => null });
  vi.stubGlobal("window", new EventTarget());
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    seen.push({ url, init });
    return Promise.resolve(answer());
  });
});
afterEach(() => vi.unstubAllGlobals());

describe("the key of a send", () => {
  it("stays where no answer came, so that it is done once", async () => {
    const s = new Send();
    answer = () => { throw new TypeError("network"); };
    await expect(s.post("/x", { a: 1 })).rejects.toMatchObject({ code: "unreachable" });
    answer = json(503, { title: "later", code: "unavailable" });
    await expect(s.post("/x", { a: 1 })).rejects.toMatchObject({ status: 503 });
    answer = json(202, {});
    await s.post("/x", { a: 1 });
    expect(new Set(seen.map(key)).size).toBe(1);
  });
  it("is another one for another body, and after a refusal", async () => {
    const s = new Send();
    answer = json(409, { title: "running", code: "conflict" });
    await expect(s.post("/x", { a: 1 })).rejects.toBeInstanceOf(Problem);
    answer = json(202, {});
    await s.post("/x", { a: 1 });
    await s.post("/x", { a: 2 });
    expect(new Set(seen.map(key)).size).toBe(3);
  });
});

describe("what is no proper answer", () => {
  it("is a problem that says so", async () => {
    answer = () => new Response("<html>", { status: 200 });
    await expect(get("/x")).rejects.toMatchObject({ code: "unreadable", status: 200 });
    answer = json(429, { title: "Slow down", code: "rate_limited" }, { "Retry-After": "7" });
    await expect(get("/x")).rejects.toMatchObject({ status: 429, retryAfter: 7 });
    answer = () => new Response("", { status: 500 });
    await expect(get("/x")).rejects.toMatchObject({ status: 500 });
    answer = () => new Response("", { status: 200 });
    await expect(get("/x")).rejects.toMatchObject({ code: "unreadable" });
  });
});
