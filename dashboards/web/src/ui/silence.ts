// What a silence holds back. Pure, so that it can be tested.
import type { Alert, AlertMatch } from "../api/types";

export type Matcher = { field: keyof AlertMatch; value: string };
export const fields = ["rule", "severity", "type", "queue", "agent", "provider", "reason", "user_id", "task_id"] as const satisfies (keyof AlertMatch)[];

// matchOf puts matchers together: values of one field are alternatives, fields have
// to fit all. Of a user and of a task there is one.
export function matchOf(matchers: Matcher[]): AlertMatch {
  const m: Record<string, string | string[]> = {};
  for (const { field, value } of matchers) {
    const values = value.split(",").map((v) => v.trim()).filter(Boolean);
    if (!values.length) continue;
    if (field === "user_id" || field === "task_id") m[field] = value.trim();
    else m[field] = [...((m[field] as string[] | undefined) ?? []), ...values];
  }
  return m as AlertMatch;
}

// matchersOf is the other way: what a silence was made of, to be changed.
export const matchersOf = (m: AlertMatch): Matcher[] => (Object.entries(m) as [keyof AlertMatch, string | string[]][]).map(([field, v]) => ({ field, value: Array.isArray(v) ? v.join(", ") : v }));

const valueOf = (a: Alert, f: keyof AlertMatch): string | undefined => (f === "type" ? a.task_type : (a[f] as string | undefined));

export function fits(a: Alert, m: AlertMatch): boolean {
  const set = Object.entries(m) as [keyof AlertMatch, string | string[]][];
  return set.length > 0 && set.every(([f, want]) => (Array.isArray(want) ? want : [want]).includes(valueOf(a, f) ?? ""));
}

// suggested are the matchers a silence of this alert begins with: its provider
// where it has one, else its rule and type. One task alone is rarely meant.
export function suggested(a: Alert): Matcher[] {
  if (a.provider) return [{ field: "provider", value: a.provider }];
  const m: Matcher[] = [{ field: "rule", value: a.rule }];
  if (a.task_type) m.push({ field: "type", value: a.task_type });
  return m;
}

export const inWords = (m: AlertMatch): string => Object.entries(m).map(([f, v]) => `${f} is ${(Array.isArray(v) ? v : [v]).join(" or ")}`).join(", ");
