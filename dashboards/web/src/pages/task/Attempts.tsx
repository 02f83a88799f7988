// The attempts of a task: their picture, a part of it, and one of them.
import { useMemo } from "react";
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import type { Attempt, Entry, Task } from "../../api/types";
import { useAddress } from "../../ui/address";
import { duration, isActive, printable } from "../../ui/format";
import { axis, range, rangeText, type Span } from "../../ui/lanes";
import { Empty } from "../../ui/parts";
import { Time, usePrefs } from "../../ui/prefs";
import { AttemptDetail } from "./AttemptDetail";
import { Lanes } from "./Lanes";
import { keyOf, picture, type Usual } from "./rows";
import { Zoom } from "./Zoom";

const colours: Record<string, string> = { success: "var(--good)", failed: "var(--bad)", running: "var(--run)", aborted: "var(--idle)", lost: "var(--lost)" };

export function Attempts({ task, attempts, entries }: { task: Task; attempts: Attempt[]; entries: Entry[] }) {
  const { now } = usePrefs();
  const [search, set] = useAddress();
  const usual = useQuery({ queryKey: ["usual", task.namespace, task.type], queryFn: ({ signal }) => get<{ attempts: Usual }>(`/task-types/${encodeURIComponent(task.type!)}/usual`, {}, signal), enabled: !!task.type, staleTime: 60_000, retry: false });
  // What runs grows each second; a task at rest is laid out once.
  const clock = isActive(task.state) ? now : 0;
  const runs = useMemo(() => [...new Set(attempts.map((a) => a.run))], [attempts]);
  const run = runs.length > 1 && runs.includes(Number(search.run)) ? Number(search.run) : undefined;
  const p = useMemo(() => picture(task, attempts, entries, usual.data?.attempts, run, clock), [task, attempts, entries, usual.data, run, clock]);
  const all = useMemo(() => axis(p.busy), [p.busy]);
  const zoom = range(search.zoom, p.whole.from, p.whole);
  const part = useMemo(() => axis(p.busy, zoom), [p.busy, zoom?.from, zoom?.to]);
  if (!attempts.length) return <div className="panel"><Empty title="No attempt yet">{task.failure_reason ? "It ended before the executor was called." : "The executor was not called so far."}</Empty></div>;
  const at = attempts.findIndex((a) => keyOf(a) === search.attempt);
  const put = (s: Span | undefined) => set({ zoom: s && rangeText(s, p.whole.from) });
  const opened = p.breaker.filter((b) => b.why);
  const u = usual.data?.attempts;
  return (
    <div className="panel overflow-hidden">
      {(runs.length > 1 || p.earlier > 0) && (
        <div className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 py-2 border-b border-line">
          {runs.length > 1 && <label className="flex items-center gap-1.5"><span className="label">Runs</span><select className="field" value={run ?? ""} onChange={(e) => set({ run: e.target.value || undefined, zoom: undefined, attempt: undefined })}><option value="">all {runs.length}</option>{runs.slice(-200).map((r) => <option key={r} value={r}>run {r}</option>)}</select></label>}
          {p.earlier > 0 && <p className="text-wait">! {p.earlier} earlier attempts are not drawn{runs.length > 1 && !run ? "; choose their run" : ""}.</p>}
        </div>
      )}
      <Lanes picture={p} axis={part} open={search.attempt} onOpen={(key) => set({ attempt: search.attempt === key ? undefined : key })} onZoom={put} />
      <Zoom axis={all} zoom={zoom} onZoom={put} busy={p.rows.flatMap((r) => (r.kind === "attempt" && r.span ? [{ ...r.span, colour: colours[r.attempt.outcome] ?? "var(--idle)" }] : []))} />
      {u && u.count >= 5 && <p className="label px-3 pb-2"><span aria-hidden="true" className="inline-block w-6 h-3 align-middle mr-1.5 bg-run/25" />half of this type’s successful attempts end within {duration(u.p50_ms)}<span aria-hidden="true" className="inline-block w-6 h-3 align-middle ml-4 mr-1.5 bg-run/10" />95 % within {duration(u.p95_ms)}, of the latest {u.count}</p>}
      {at >= 0 && <AttemptDetail attempt={attempts[at]!} before={attempts[at - 1]} usual={u} onClose={() => set({ attempt: undefined })} />}
      {(p.marks.length > 0 || opened.length > 0) && (
        <ul className="border-t border-line px-3 py-2 grid gap-1" aria-label="What operators did, and the breaker">
          {opened.map((b) => <li key={b.from}><span aria-hidden="true" className="inline-block w-5 text-bad">✕</span>breaker of {printable(b.provider || "the provider")} opened <span className="text-soft"><Time at={new Date(b.from).toISOString()} />{b.why && `: ${printable(b.why)}`}</span></li>)}
          {p.marks.map((m) => <li key={m.id}><span aria-hidden="true" className="inline-block w-5 text-accent">{m.sign}</span>{m.what} <span className="text-soft">{m.who && `by ${printable(m.who)} `}<Time at={m.time} />{m.why && `: ${printable(m.why)}`}</span></li>)}
        </ul>
      )}
    </div>
  );
}
