// Why a failed task calls as loudly as it does. Pure, so that it can be tested.
import type { Severities, Task } from "../api/types";
import { printable } from "./format";

const moves = /(^|_)(payment|withdrawal)$|^(payment|withdrawal)[_.]/;
export const movesMoney = (type: string | undefined) => moves.test(type ?? "");

// fits matches * as any text and ? as one byte, as the server does.
export function fits(pattern: string, value: string): boolean {
  const bytes = (s: string) => Array.from(new TextEncoder().encode(s), (b) => String.fromCharCode(b)).join("");
  const escaped = bytes(pattern).replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, "[^]*").replace(/\?/g, "[^]");
  return new RegExp(`^${escaped}$`).test(bytes(value));
}

function selects(match: Record<string, string[]>, t: Task): boolean {
  const labels: Record<string, string | undefined> = { namespace: t.namespace, type: t.type, queue: t.queue, provider: t.provider, agent: t.agent, user: t.user_id };
  return Object.entries(match).every(([label, patterns]) => {
    const value = labels[label] ?? "";
    const any = patterns.filter((p) => !p.startsWith("!")), none = patterns.filter((p) => p.startsWith("!"));
    return !none.some((p) => fits(p.slice(1), value)) && (!any.length || any.some((p) => fits(p, value)));
  });
}

export const exceptionInWords = (match: Record<string, string[]>) => Object.entries(match).map(([label, p]) => `${label} ${p.map(printable).join(" or ")}`).join(", ") || "every task";

// reasoned says what a failure of the task calls like by the thresholds in force, and
// why. The server decides; this reads its settings to people.
export function reasoned(t: Task, s: Severities): { severity: "critical" | "high" | "medium"; text: string } {
  const exception = s.types.find((e) => selects(e.match, t));
  const limits = { ...s.thresholds, ...exception?.thresholds };
  const currency = (t.currency ?? "").toUpperCase();
  const own = limits[currency];
  const limit = own ?? limits.USD ?? "100";
  const amount = t.amount ? `${t.amount} ${t.currency || "(no currency)"}` : "";
  const counted = own === undefined && amount ? `; ${currency || "an amount without a currency"} has no threshold of its own and counts like USD` : "";
  const by = exception ? ` An exception decides: ${exceptionInWords(exception.match)}.` : "";
  if (t.amount && Number(t.amount) >= Number(limit)) return { severity: "critical", text: `${amount} reaches ${limit} ${own === undefined ? "USD" : currency}, from where on a failure is critical${counted}.${by}` };
  const below = t.amount ? `${amount} is below ${limit} ${own === undefined ? "USD" : currency}${counted}, ` : "It has no amount, ";
  if (exception?.severity) return { severity: exception.severity, text: `${below}and an exception says ${exception.severity} below it: ${exceptionInWords(exception.match)}.` };
  const kind = printable(t.type || "its type");
  if (movesMoney(t.type)) return { severity: "high", text: `${below}and ${kind} is a payment or a withdrawal.${by}` };
  return { severity: "medium", text: `${below}and ${kind} is neither a payment nor a withdrawal.${by}` };
}
