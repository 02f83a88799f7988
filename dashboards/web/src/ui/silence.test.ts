import { describe, expect, it } from "vitest";
import type { Alert } from "../api/types";
import { fits, inWords, matchersOf, matchOf, suggested } from "./silence";

const alert = (more: Partial<Alert>): Alert => ({ id: "a", rule: "task_failed", severity: "high", state: "firing", title: "t", namespace: "default", starts_at: "", updated_at: "", ...more });

describe("silences", () => {
  it("takes values of one field as alternatives and fields together", () => {
    const m = matchOf([{ field: "provider", value: "bank, post" }, { field: "provider", value: "x" }, { field: "severity", value: "high" }, { field: "queue", value: " " }]);
    expect(m).toEqual({ provider: ["bank", "post", "x"], severity: ["high"] });
    expect(fits(alert({ provider: "post" }), m)).toBe(true);
    expect(fits(alert({ provider: "post", severity: "medium" }), m)).toBe(false);
    expect(fits(alert({}), m)).toBe(false);
  });
  it("holds back nothing where nothing is set", () => expect(fits(alert({}), matchOf([]))).toBe(false));
  it("looks at an alert's type, user and task", () => {
    const m = matchOf([{ field: "type", value: "payment" }, { field: "user_id", value: "u,1" }]);
    expect(fits(alert({ task_type: "payment", user_id: "u,1" }), m)).toBe(true);
  });
  it("gives what it was made of back, to be changed", () => {
    const m = { provider: ["bank", "post"], user_id: "u" };
    expect(matchOf(matchersOf(m))).toEqual(m);
  });
  it("begins with the provider, else with rule and type", () => {
    expect(suggested(alert({ provider: "bank", task_type: "payment" }))).toEqual([{ field: "provider", value: "bank" }]);
    expect(inWords(matchOf(suggested(alert({ task_type: "payment" }))))).toBe("rule is task_failed, type is payment");
  });
});
