// An edit of an input as the API takes it: an RFC 7386 merge patch, which an agent
// applies to the original. Pure, so that it can be tested.
import { faultAt } from "./jsonfault";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Members = { [name: string]: Json };

// What agents write in the place of what they took out.
export const mark = "[redacted]";
const isMembers = (v: unknown): v is Members => typeof v === "object" && v !== null && !Array.isArray(v);

// truncated tells an input that was too long to record: what is known is its beginning.
export function truncated(input: unknown): { bytes: number; preview: string } | undefined {
  if (!isMembers(input) || input._truncated !== true) return undefined;
  return { bytes: Number(input._bytes) || 0, preview: String(input.preview ?? "") };
}

// redacted names the places of a value whose content was taken out.
export function redacted(v: unknown, path = ""): string[] {
  if (typeof v === "string") return v.includes(mark) ? [path || "the whole input"] : [];
  if (Array.isArray(v)) return v.flatMap((x, i) => redacted(x, `${path}[${i}]`));
  if (isMembers(v)) return Object.entries(v).flatMap(([k, x]) => redacted(x, path ? `${path}.${k}` : k));
  return [];
}

// parse reads JSON, or says where it stops being that.
export function parse(text: string): { value: Json } | { fault: string } {
  try {
    return { value: JSON.parse(text) as Json };
  } catch {
    const at = faultAt(text);
    if (at < 0 || at >= text.trimEnd().length) return { fault: "It ends too early to be JSON." };
    const before = text.slice(0, at).split("\n");
    return { fault: `It is not JSON from line ${before.length}, column ${before.at(-1)!.length + 1} on.` };
  }
}

const equal = (a: Json | undefined, b: Json | undefined): boolean => {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => equal(x, b[i]));
  if (!isMembers(a) || !isMembers(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((n) => Object.hasOwn(b, n) && equal(a[n], b[n]));
};

// put sets a member of any name: one called __proto__ is a name like another.
const put = (o: Members, name: string, value: Json) => Object.defineProperty(o, name, { value, enumerable: true, configurable: true, writable: true });

// between is the smallest patch that makes b of a.
export function between(a: Members, b: Members): Members {
  const out: Members = {};
  for (const n of Object.keys(a)) if (!Object.hasOwn(b, n)) put(out, n, null);
  for (const [n, v] of Object.entries(b)) {
    const old = Object.hasOwn(a, n) ? a[n] : undefined;
    if (equal(old, v)) continue;
    put(out, n, isMembers(old) && isMembers(v) ? between(old, v) : v);
  }
  return out;
}

// apply is what a patch makes of a value.
export function apply(value: Json | undefined, patch: Json): Json {
  if (!isMembers(patch)) return patch;
  const out: Members = {};
  if (isMembers(value)) for (const [n, v] of Object.entries(value)) put(out, n, v);
  for (const [n, v] of Object.entries(patch)) {
    if (v === null) delete out[n];
    else put(out, n, apply(Object.hasOwn(out, n) ? out[n] : undefined, v));
  }
  return out;
}

// faultOf says why a patch cannot be sent, or is empty. What was taken out is not
// known here, so a patch that holds its mark would put the mark into the input.
function faultOf(patch: Json, path: string): string {
  if (typeof patch === "string") return patch.includes(mark) ? `${path} would become the text ${mark}: what stands there is not known here. Put the whole new value, or leave it as it was.` : "";
  if (typeof patch === "number") return Number.isInteger(patch) && !Number.isSafeInteger(patch) ? `${path} is a number of more digits than can be kept here. Use the API, which keeps them all.` : "";
  if (Array.isArray(patch)) {
    if (redacted(patch).length) return `${path} is a list with a redacted part, and a list is replaced as a whole: its redacted part would be lost. Put every value of it anew, or leave the list as it was.`;
    return patch.map((v, i) => faultOf(v, `${path}[${i}]`)).find(Boolean) ?? "";
  }
  return isMembers(patch) ? (Object.entries(patch).map(([n, v]) => faultOf(v, path ? `${path}.${n}` : n)).find(Boolean) ?? "") : "";
}

// nulls is the first name that an edit sets to null where it was not: a patch takes
// such a name away, it cannot set null.
function nulls(a: Json | undefined, b: Json, path: string): string {
  if (b === null) return a === null ? "" : path;
  if (!isMembers(b)) return "";
  return Object.entries(b).map(([n, v]) => nulls(isMembers(a) && Object.hasOwn(a, n) ? a[n] : undefined, v, path ? `${path}.${n}` : n)).find(Boolean) ?? "";
}

export type Edit = { patch: Members; after: Json } | { fault: string };

// edit is what a text that was edited asks for, or why it cannot be asked for.
export function edit(before: Json | undefined, text: string): Edit {
  const p = parse(text);
  if ("fault" in p) return p;
  if (!isMembers(p.value)) return { fault: "An input that is edited has to be an object, { … }." };
  if (before !== undefined && before !== null && !isMembers(before)) return { fault: "This input is not an object, and only objects can be edited. A plain retry runs it as it is." };
  const from = isMembers(before) ? before : {};
  const name = nulls(from, p.value, "");
  if (name) return { fault: `${name} cannot be set to null by an edit. Leave the name out to take it away.` };
  return checked(between(from, p.value), p.value);
}

// patchOf is what a text that is a patch itself asks for.
export function patchOf(text: string): Edit {
  const p = parse(text);
  if ("fault" in p) return p;
  if (!isMembers(p.value)) return { fault: "A merge patch is an object, { … }." };
  return checked(p.value, p.value);
}

function checked(patch: Members, after: Json): Edit {
  if (!Object.keys(patch).length) return { fault: "Nothing is changed yet." };
  const fault = faultOf(patch, "");
  return fault ? { fault } : { patch, after };
}
