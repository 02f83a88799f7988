// How values are written. Nothing here touches the page.
import type { Retry, Task } from "../api/types";

export function duration(ms: number): string {
  const a = Math.abs(ms);
  if (a < 1000) return `${Math.round(ms)} ms`;
  if (a < 60_000) return `${(ms / 1000).toFixed(a < 10_000 ? 1 : 0)} s`;
  const s = Math.floor(a / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

// age is how long ago something was, as exactly as one still cares.
function age(ms: number): string {
  if (ms < 120_000) return duration(ms);
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`.replace(" 0 min", "");
  return `${Math.floor(ms / 86_400_000)} d ${Math.floor((ms % 86_400_000) / 3_600_000)} h`.replace(" 0 h", "");
}

export type Clock = "relative" | "local" | "utc";

// moment is a time as the reader wants times. exact keeps the seconds of what is long
// ago, where times are compared.
export function moment(iso: string, clock: Clock, now: number, exact = false): string {
  const t = Date.parse(iso);
  if (Number.isNaN(t)) return iso;
  if (clock === "utc") return `${new Date(t).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  if (clock === "local") {
    const d = new Date(t);
    const p = (n: number) => String(n).padStart(2, "0");
    return `${d.getFullYear()}-${p(d.getMonth() + 1)}-${p(d.getDate())} ${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}`;
  }
  const ago = now - t;
  if (Math.abs(ago) < 1000) return "now";
  return ago >= 0 ? `${exact ? duration(ago) : age(ago)} ago` : `in ${duration(-ago)}`;
}

const words: Record<string, string> = {
  in_progress: "in progress", circuit_open: "circuit open", retry_after: "Retry-After", provider_paused: "provider paused", retry_budget: "retry budget",
  auto_recover: "recovery after the breaker closed", retry_after_too_long: "Retry-After too long", manual: "retried by hand", half_open: "half open",
};
export const word = (s: string | undefined) => (s ? (words[s] ?? printable(s.replaceAll("_", " "))) : "");

// why says in a sentence where a wait's length comes from.
export function why(r: Retry): string {
  if (r.reason !== "backoff") return word(r.reason);
  const parts = [];
  if (r.base_ms) parts.push(`base ${duration(r.base_ms)}`);
  if (r.factor) parts.push(`× ${r.factor} an attempt`);
  if (r.max_ms) parts.push(`at most ${duration(r.max_ms)}`);
  if (r.jitter_drawn) parts.push(`jitter drawn × ${r.jitter_drawn.toFixed(2)}`);
  return parts.length ? `backoff: ${parts.join(", ")}` : "backoff";
}

export const isActive = (s: Task["state"]) => s === "pending" || s === "in_progress" || s === "retrying" || s === "lost";

// json is a value as JSON that reads as it is written: marks that turn text around are
// escaped in it.
export const json = (v: unknown): string => JSON.stringify(v, null, 2)?.replace(/[\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`) ?? "";

// printable makes marks that turn text around visible: a name must not look like
// another.
export const printable = (s: string) => s.replace(/[\u0000-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

// printableLines is that for a text of several lines, which stay lines.
export const printableLines = (s: string) => s.split("\n").map((l) => printable(l.replaceAll("\t", "  ").replace(/\r$/, ""))).join("\n");

// ofDay is a time of day: UTC where times are told so, else the reader's own.
export function ofDay(t: number, clock: Clock): string {
  const d = new Date(t);
  return clock === "utc" ? d.toISOString().slice(11, 19) : d.toTimeString().slice(0, 8);
}
