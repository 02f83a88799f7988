// What dead letters can be asked for, in the address and in the page.
import { useState } from "react";
import { word } from "../ui/format";

export const statuses = ["pending", "retrying", "resolved", "superseded", "discarded"];
export const reasons = ["exhausted", "permanent", "circuit_open", "deadline", "poison", "retry_after_too_long", "retry_budget", "lost", "cancelled"];
const severities = ["critical", "high", "medium"];

// The fields of the address that are the API's own, in the order they are shown.
const texts: [name: string, label: string, hint: string][] = [
  ["type", "Type", "payment,refund"], ["queue", "Queue", ""], ["agent", "Agent", ""], ["provider", "Provider", ""], ["user_id", "User", ""], ["task_id", "Task id", ""], ["fingerprint", "Fingerprint", "fp1:…"], ["trace_id", "Trace", "32 hex digits"],
  ["min_attempts", "Attempts, at least", "3"], ["min_duration", "Longest attempt, at least", "90s"], ["max_duration", "Longest attempt, at most", "10m"],
];
const times: [name: string, label: string][] = [["from", "Created from"], ["to", "Created before"]];

export type Search = Record<string, string | undefined>;

// letterFilter is the filter in the words of the API, without the status.
export function letterFilter(s: Search): Record<string, string> {
  const f: Record<string, string> = {};
  for (const k of ["severity", "reason", ...texts.map(([n]) => n), ...times.map(([n]) => n)]) if (s[k]) f[k] = s[k];
  if (s.q) f.text = s.q;
  return f;
}

const local = (iso: string | undefined) => {
  const t = iso ? new Date(iso) : undefined;
  if (!t || Number.isNaN(t.getTime())) return "";
  return new Date(t.getTime() - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

export function Filters({ search, set }: { search: Search; set(s: Search): void }) {
  const more = texts.filter(([n]) => search[n]).length + times.filter(([n]) => search[n]).length;
  const [open, setOpen] = useState(more > 0);
  const status = search.status ?? "pending";
  const select = (name: string, value: string, all: string[]) => (
    <label className="flex items-center gap-1.5"><span className="label">{name}</span>
      <select className="field" value={value} onChange={(e) => set({ [name]: e.target.value || undefined })}>
        <option value={name === "status" ? "any" : ""}>any</option>
        {all.map((o) => <option key={o} value={o}>{word(o)}</option>)}
      </select></label>
  );
  // What is typed is asked for when it is done with, not at each letter.
  const done = (name: string, value: string) => value.trim() !== (search[name] ?? "") && set({ [name]: value.trim() || undefined });
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 mb-2">
        {select("status", status, statuses)}
        {select("severity", search.severity ?? "", severities)}
        {select("reason", search.reason ?? "", reasons)}
        <input key={search.q ?? ""} className="field grow min-w-32 max-w-44" type="search" data-search placeholder="Text in the error…" aria-label="Text in the error" defaultValue={search.q ?? ""} onBlur={(e) => done("q", e.target.value)} onKeyDown={(e) => e.key === "Enter" && done("q", e.currentTarget.value)} />
        <label className="flex items-center gap-1.5"><input type="checkbox" checked={search.group !== "none"} onChange={(e) => set({ group: e.target.checked ? undefined : "none" })} />group by error</label>
        <button className="btn" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Fewer filters" : `More filters${more ? ` (${more} set)` : ""}`}</button>
      </div>
      {open && (
        <div className="panel px-3 py-2 mb-2 grid grid-cols-2 sm:grid-cols-4 gap-x-4 gap-y-2">
          {texts.map(([name, label, hint]) => (
            <label key={`${name}=${search[name] ?? ""}`} className="min-w-0"><span className="label block">{label}</span>
              <input className="field w-full" placeholder={hint} maxLength={512} defaultValue={search[name] ?? ""} onBlur={(e) => done(name, e.target.value)} onKeyDown={(e) => e.key === "Enter" && done(name, e.currentTarget.value)} /></label>
          ))}
          {times.map(([name, label]) => (
            <label key={name} className="min-w-0"><span className="label block">{label}</span>
              <input className="field w-full" type="datetime-local" value={local(search[name])} onChange={(e) => set({ [name]: e.target.value ? new Date(e.target.value).toISOString() : undefined })} /></label>
          ))}
          <p className="self-end"><button className="btn" onClick={() => set(Object.fromEntries(["status", "severity", "reason", "q", ...texts.map(([n]) => n), "from", "to"].map((n) => [n, undefined])))}>Clear the filter</button></p>
        </div>
      )}
    </>
  );
}
