import { useMemo, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Link } from "@tanstack/react-router";
import { asCurl, getList, Problem } from "../api/client";
import type { Page, State, Task } from "../api/types";
import { useAddress } from "../ui/address";
import { ChoiceFilter, TextFilter, TimeFilter } from "../ui/Filters";
import { duration, printable, word } from "../ui/format";
import { Copy, Empty, Failed, Loading, Mark, Pager } from "../ui/parts";
import { Time } from "../ui/prefs";
import { csv, download } from "../ui/table";

const states: State[] = ["pending", "in_progress", "retrying", "completed", "failed", "cancelled", "lost"];
const reasons = ["exhausted", "permanent", "circuit_open", "deadline", "poison", "retry_after_too_long", "retry_budget", "lost", "cancelled"] as const;
// The address names a filter as the API does, but for the text, which is q on every page.
const names = { text: "Text", error: "Error text", type: "Type", queue: "Queue", agent: "Agent", provider: "Provider", runner: "Runner", user_id: "User", payment_reference: "Payment reference", severity: "Severity", reason: "Reason", fingerprint: "Fingerprint", trace_id: "Trace id", min_attempts: "At least attempts", min_duration: "Took at least", max_duration: "Took at most", created_from: "Created from", created_to: "Created before", from: "Changed from", to: "Changed before" } as const;
type Name = keyof typeof names;
const all = Object.keys(names) as Name[];
const always = new Set<Name>(["text", "type", "queue"]); // those whose fields are always in sight
const inAddress = (n: Name) => (n === "text" ? "q" : n);
const columns = ["namespace", "task_id", "type", "queue", "runner", "agent", "provider", "user_id", "amount", "currency", "state", "run", "attempt", "max_attempts", "created_at", "started_at", "updated_at", "ended_at", "duration_ms", "failure_reason", "alert_severity", "error_message", "fingerprint", "trace_id", "dead_letter_id"];
const spans = [["15m", 15], ["1h", 60], ["24h", 1440], ["7d", 10_080]] as const;

function Row({ task: t }: { task: Task }) {
  return (
    <>
      <div className="min-w-0">
        <Link to="/tasks/$id" params={{ id: t.task_id }} data-row className="link id">{printable(t.task_id)}</Link>
        <p className="text-soft truncate">{printable(t.type || "no type")} · {printable(t.queue || "no queue")}{t.user_id ? ` · ${printable(t.user_id)}` : ""}{t.amount ? ` · ${t.amount} ${t.currency ?? ""}` : ""}</p>
      </div>
      <div className="min-w-0 col-span-2 sm:col-span-1 row-start-2 sm:row-start-auto">
        <p><Mark of={t.state} />{t.alert_severity && <> · <Mark of={t.alert_severity} /></>}<span className="text-soft">{t.failure_reason ? ` · ${word(t.failure_reason)}` : ""}{t.attempt ? ` · attempt ${t.attempt}${t.max_attempts ? ` of ${t.max_attempts}` : ""}` : ""}{t.run > 1 ? ` · run ${t.run}` : ""}</span></p>
        {t.error?.message && t.state !== "completed" && <p className="truncate">{printable(t.error.message)}</p>}
      </div>
      <p className="justify-self-end text-right text-soft"><Time at={t.created_at} /><span className="block">{t.duration_ms ? `took ${duration(t.duration_ms)}` : "\u00a0"}</span></p>
    </>
  );
}

export function Search() {
  const [search, set] = useAddress();
  const list = useRef<HTMLDivElement>(null);
  const [more, setMore] = useState<boolean>();
  const limit = ["50", "100", "200"].includes(search.limit ?? "") ? search.limit : "50";
  const chosen = (search.state ?? "").split(",").filter(Boolean);
  const params: Record<string, string | undefined> = { state: search.state, limit, cursor: search.cursor };
  for (const n of all) params[n] = search[inAddress(n)];
  const query = useQuery({ queryKey: ["search", params], queryFn: ({ signal }) => getList<Page<Task>>("/tasks", params, signal), placeholderData: (old) => old, staleTime: 5000 });
  const rows = query.data?.data ?? [];
  const seen = useMemo(() => {
    const of = (f: (t: Task) => string | undefined) => [...new Set(rows.map(f).filter((v): v is string => !!v))].sort().slice(0, 50);
    return { type: of((t) => t.type), queue: of((t) => t.queue), agent: of((t) => t.agent), provider: of((t) => t.provider), runner: of((t) => t.runner), user_id: of((t) => t.user_id) };
  }, [rows]);
  const v = useWindowVirtualizer({ count: rows.length, estimateSize: () => 58, overscan: 10, scrollMargin: list.current?.offsetTop ?? 0, getItemKey: (i) => rows[i]?.task_id ?? i });
  const problem = query.error instanceof Problem ? query.error : undefined;
  const wrong = (n: Name) => (problem?.field === n ? problem.detail || problem.message : undefined);
  const here = all.filter((n) => search[inAddress(n)]);
  const clear = () => set(Object.fromEntries([["state", undefined], ...all.map((n) => [inAddress(n), undefined])]));
  const toggle = (s: string) => set({ state: (chosen.includes(s) ? chosen.filter((c) => c !== s) : [...chosen, s]).join(",") || undefined });
  const text = (n: Name, more: { suggest?: string[]; placeholder?: string; search?: boolean; inputMode?: "numeric" } = {}) => <TextFilter label={names[n]} value={search[inAddress(n)]} wrong={wrong(n)} onSet={(val) => set({ [inAddress(n)]: val })} {...more} />;
  const time = (n: Name) => <TimeFilter label={names[n]} value={search[n]} wrong={wrong(n)} onSet={(val) => set({ [n]: val })} />;
  const flat = () => rows.map((t) => ({ ...t, error_message: t.error?.message, fingerprint: t.error?.fingerprint }));
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">All tasks</h1>
        <span className="ml-auto flex flex-wrap gap-1.5">
          <button className="btn" disabled={!rows.length} onClick={() => download("tasks.csv", "text/csv;charset=utf-8", csv(columns, flat()))}>CSV</button>
          <button className="btn" disabled={!rows.length} onClick={() => download("tasks.json", "application/json", JSON.stringify(rows, null, 2))}>JSON</button>
          <Copy text={asCurl("/tasks", params)}>Copy as curl</Copy>
        </span>
      </div>
      <div className="flex flex-wrap gap-1.5 mb-2" role="group" aria-label="State">
        {states.map((s) => <button key={s} className={`btn ${chosen.includes(s) ? "border-accent bg-sunk" : ""}`} aria-pressed={chosen.includes(s)} onClick={() => toggle(s)}><Mark of={s} /></button>)}
      </div>
      <div className="grid grid-cols-2 sm:grid-cols-4 gap-2 mb-2">
        <div className="col-span-2">{text("text", { search: true, placeholder: "in the id, the type or the error" })}</div>
        {text("type", { suggest: seen.type })}{text("queue", { suggest: seen.queue })}
      </div>
      <details className="mb-2" open={more ?? here.some((n) => !always.has(n))} onToggle={(e) => setMore(e.currentTarget.open)}>
        <summary className="link w-fit cursor-pointer">More filters</summary>
        <div className="grid grid-cols-1 min-[360px]:grid-cols-2 sm:grid-cols-4 gap-2 mt-2">
          {text("agent", { suggest: seen.agent })}{text("provider", { suggest: seen.provider })}{text("runner", { suggest: seen.runner })}{text("user_id", { suggest: seen.user_id })}
          <ChoiceFilter label={names.severity} value={search.severity} wrong={wrong("severity")} onSet={(val) => set({ severity: val })} options={[["critical", "critical"], ["high", "high"], ["medium", "medium"]]} />
          <ChoiceFilter label={names.reason} value={search.reason} wrong={wrong("reason")} onSet={(val) => set({ reason: val })} options={reasons.map((r) => [r, word(r)])} />
          {text("error", { placeholder: "in the error alone" })}{text("fingerprint")}{text("payment_reference")}
          {text("trace_id", { placeholder: "32 hexadecimal digits" })}{text("min_attempts", { inputMode: "numeric" })}{text("min_duration", { placeholder: "such as 90s" })}{text("max_duration", { placeholder: "such as 5m" })}
          {time("created_from")}{time("created_to")}{time("from")}{time("to")}
        </div>
      </details>
      <div className="flex flex-wrap items-center gap-1.5 mb-3">
        <span className="label">created in the last</span>
        {spans.map(([name, min]) => <button key={name} className="btn" onClick={() => set({ created_from: new Date(Date.now() - min * 60_000).toISOString(), created_to: undefined })}>{name}</button>)}
        <label className="flex items-center gap-1.5"><span className="label">rows</span><select className="field" value={limit} onChange={(e) => set({ limit: e.target.value === "50" ? undefined : e.target.value })}>{["50", "100", "200"].map((n) => <option key={n}>{n}</option>)}</select></label>
        {here.filter((n) => !always.has(n)).map((n) => <button key={n} className="btn" onClick={() => set({ [inAddress(n)]: undefined })}><span className="sr-only">Remove the filter </span>{names[n]}: <span className="id">{printable(search[inAddress(n)] ?? "").slice(0, 60)}</span> ×</button>)}
        {(here.length > 0 || chosen.length > 0) && <button className="link" onClick={clear}>Clear all</button>}
        <span className="label ml-auto" role="status">{query.isFetching ? "looking…" : query.data ? `${rows.length} ${rows.length === 1 ? "task" : "tasks"}${query.data.next_cursor || query.data.prev_cursor ? " on this page" : ""}` : ""}</span>
      </div>
      {query.isError ? (
        <><Failed problem={query.error} again={() => void query.refetch()} />{search.cursor && <p className="mt-2"><button className="btn" onClick={() => set({})}>To the first page</button></p>}</>
      ) : !query.data ? <Loading /> : rows.length === 0 ? (
        <div className="panel"><Empty title={here.length || chosen.length ? "No task fits the filter" : "No task yet"}>{here.length || chosen.length ? <button className="link" onClick={clear}>Clear all filters</button> : <>Tasks appear here once an agent or a sidecar reports them.</>}</Empty></div>
      ) : (
        <div ref={list} className="panel" role="list" aria-label="Tasks" aria-busy={query.isPlaceholderData} style={{ position: "relative", height: v.getTotalSize() }}>
          {v.getVirtualItems().map((item) => (
            <div key={item.key} role="listitem" ref={v.measureElement} data-index={item.index} data-task={rows[item.index]!.task_id} className={`absolute inset-x-0 top-0 px-3 py-2 grid grid-cols-[1fr_auto] sm:grid-cols-[minmax(0,5fr)_minmax(0,6fr)_9rem] gap-x-4 gap-y-1 ${item.index ? "border-t border-line" : ""}`} style={{ transform: `translateY(${item.start - v.options.scrollMargin}px)` }}>
              <Row task={rows[item.index]!} />
            </div>
          ))}
        </div>
      )}
      <Pager page={query.data} go={(cursor) => set({ cursor }, { push: true })} />
    </>
  );
}
