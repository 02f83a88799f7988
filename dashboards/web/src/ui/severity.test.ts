import { describe, expect, it } from "vitest";
import type { Severities, Task } from "../api/types";
import { fits, movesMoney, reasoned } from "./severity";

const task = (more: Partial<Task>) => ({ namespace: "default", type: "payment", currency: "USD", ...more }) as Task;
const set: Severities = {
  thresholds: { USD: "100", EUR: "90", JPY: "15000" },
  types: [{ match: { type: ["invoice_*", "!invoice_test"] }, severity: "high", thresholds: { USD: "10" } }, { match: { queue: ["bulk?"] }, severity: "medium" }],
};

describe("reasoned", () => {
  const of = (more: Partial<Task>) => reasoned(task(more), set);
  it("is critical from the currency's threshold on", () => {
    expect(of({ amount: "100.00" })).toMatchObject({ severity: "critical", text: "100.00 USD reaches 100 USD, from where on a failure is critical." });
    expect(of({ amount: "99.99" })).toMatchObject({ severity: "high" });
    expect(of({ amount: "95", currency: "EUR" }).severity).toBe("critical");
  });
  it("counts a currency without a threshold like USD", () => {
    expect(of({ amount: "120", currency: "XAU" })).toMatchObject({ severity: "critical", text: expect.stringContaining("XAU has no threshold of its own and counts like USD") });
    expect(of({ amount: "5", currency: "" })).toMatchObject({ severity: "high", text: expect.stringContaining("an amount without a currency") });
  });
  it("takes the first exception that matches", () => {
    expect(of({ type: "invoice_send", amount: "12" })).toMatchObject({ severity: "critical", text: expect.stringContaining("invoice_*") });
    expect(of({ type: "invoice_send", amount: "2" })).toMatchObject({ severity: "high" });
    expect(of({ type: "invoice_test", amount: "12" })).toMatchObject({ severity: "medium" });
    expect(of({ queue: "bulk7", amount: "12" })).toMatchObject({ severity: "medium", text: expect.stringContaining("an exception says medium") });
  });
  it("knows a task without an amount by its type", () => {
    expect(of({ type: "send_email" })).toMatchObject({ severity: "medium", text: "It has no amount, and send_email is neither a payment nor a withdrawal." });
  });
});

describe("fits", () => {
  it("takes ? for one byte and everything else as it is", () => {
    expect([fits("a.b", "axb"), fits("a*b", "a/\nb"), fits("?", "é"), fits("??", "é"), fits("*", "")]).toEqual([false, true, false, true, true]);
  });
});

describe("movesMoney", () => {
  it("knows a payment by its name", () => expect(["payment", "card_payment", "payment.refund", "withdrawal_x", "prepayment", "payments"].map(movesMoney)).toEqual([true, true, true, true, false, false]));
});
