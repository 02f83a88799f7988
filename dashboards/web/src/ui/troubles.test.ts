import { expect, it } from "vitest";
import type { Attempt } from "../api/types";
import { against, differences, longer } from "./troubles";

const attempt = (more: object) => ({ run: 1, attempt: 1, outcome: "failed", ...more }) as Attempt;

it("names what is different, and takes what is not known for no difference", () => {
  const a = attempt({ error: { kind: "http_503", message: "away", code: "503" }, agent: "w-1" });
  const b = attempt({ error: { kind: "http_502", message: "away" } });
  expect(differences(a, b)).toEqual([{ what: "Kind", before: "http_503", after: "http_502" }, { what: "Code", before: "503", after: "" }]);
  expect(differences(a, a)).toEqual([]);
});
it("says how much longer, where it matters", () => {
  expect(longer(attempt({ duration_ms: 900 }), attempt({ duration_ms: 2900 }))).toBe("2.0 s longer");
  expect(longer(attempt({ duration_ms: 900 }), attempt({ duration_ms: 910 }))).toBe("");
});
it("holds a duration against the usual, where enough is known", () => {
  const usual = { count: 20, p50_ms: 100, p95_ms: 400 };
  expect(against(500, usual)).toMatch(/^longer than 95 %/);
  expect(against(200, usual)).toMatch(/^within the usual/);
  expect(against(50, usual)).toMatch(/^quick/);
  expect(against(50, { ...usual, count: 3 })).toBe("");
});
