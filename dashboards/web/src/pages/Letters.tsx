import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { asCurl, get } from "../api/client";
import type { DeadLetter, Page } from "../api/types";
import { useActions } from "../ui/actions";
import { printable, word } from "../ui/format";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";

const statuses = ["pending", "retrying", "resolved", "superseded", "discarded"];
const reasons = ["exhausted", "permanent", "circuit_open", "deadline", "poison", "retry_after_too_long", "retry_budget", "lost", "cancelled"];

type Group = { key: string; letters: DeadLetter[] };
function grouped(letters: DeadLetter[]): Group[] {
  const by = new Map<string, DeadLetter[]>();
  for (const d of letters) {
    const k = d.error?.fingerprint ?? "";
    by.set(k, [...(by.get(k) ?? []), d]);
  }
  return [...by].map(([key, l]) => ({ key, letters: l })).sort((a, b) => b.letters.length - a.letters.length);
}

export function Letters() {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const { ask, ui } = useActions();
  const status = search.status ?? "pending";
  const params = { status: status === "any" ? undefined : status, severity: search.severity, reason: search.reason, text: search.q, fingerprint: search.fingerprint, cursor: search.cursor, limit: 100 };
  const query = useQuery({ queryKey: ["dead-letters", params], queryFn: ({ signal }) => get<Page<DeadLetter>>("/failed-tasks", params, signal), placeholderData: (old) => old });
  const set = (s: Record<string, string | undefined>) => void navigate({ to: "/dead-letters", search: { ...search, cursor: undefined, ...s } as never, replace: true });
  const select = (name: string, value: string, all: string[], any: string) => (
    <label className="flex items-center gap-1.5"><span className="label">{name}</span>
      <select className="field" value={value} onChange={(e) => set({ [name]: e.target.value || undefined })}>
        {any && <option value={name === "status" ? "any" : ""}>{any}</option>}
        {all.map((o) => <option key={o} value={o}>{word(o)}</option>)}
      </select></label>
  );
  const flat = search.group === "none";
  const groups = query.data ? (flat ? [{ key: "", letters: query.data.data }] : grouped(query.data.data)) : [];
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">Dead letters</h1>
        {select("status", status, statuses, "any")}
        {select("severity", search.severity ?? "", ["critical", "high", "medium"], "any")}
        {select("reason", search.reason ?? "", reasons, "any")}
        <input className="field grow max-w-xs" type="search" data-search placeholder="Text in the error…" aria-label="Text in the error" value={search.q ?? ""} onChange={(e) => set({ q: e.target.value || undefined })} />
        <label className="flex items-center gap-1.5"><input type="checkbox" checked={!flat} onChange={(e) => set({ group: e.target.checked ? undefined : "none" })} />group by error</label>
        <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/failed-tasks", params)}>Copy as curl</Copy></span>
      </div>
      {search.fingerprint && <p className="mb-2">Only <span className="id">{search.fingerprint}</span> <button className="link" onClick={() => set({ fingerprint: undefined })}>show all</button></p>}
      {ui}
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : query.data.data.length === 0 ? (
        <div className="panel"><Empty title="No dead letter here">{status === "pending" ? "Every failed task was retried, resolved or discarded." : <button className="link" onClick={() => set({ status: undefined, severity: undefined, reason: undefined, q: undefined })}>Clear the filter</button>}</Empty></div>
      ) : groups.map((g) => (
        <section key={g.key || "all"} className="panel mb-3" aria-label={g.letters[0]?.error?.message ?? "Dead letters"}>
          {!flat && (
            <header className="px-3 py-2 bg-sunk rounded-t-[6px] flex gap-3 items-baseline">
              <h2 className="font-medium min-w-0 grow break-words">{printable(g.letters[0]?.error?.message ?? "No error on record")}</h2>
              {g.key && <span className="id text-soft hidden sm:inline">{g.key}</span>}
              <span className="whitespace-nowrap">{g.letters.length} {g.letters.length === 1 ? "task" : "tasks"}</span>
            </header>
          )}
          <ul className="rows">
            {g.letters.map((d) => (
              <li key={d.id} className="px-3 py-2 grid grid-cols-[1fr_auto] sm:grid-cols-[minmax(0,5fr)_minmax(0,6fr)_auto] gap-x-4 gap-y-1">
                <div className="min-w-0"><Link to="/tasks/$id" params={{ id: d.task_id }} data-row className="link id">{printable(d.task_id)}</Link>
                  <p className="text-soft">{d.type || "no type"} · {d.queue || "no queue"}{d.amount ? ` · ${d.amount} ${d.currency ?? ""}` : ""}</p></div>
                <div className="min-w-0 col-span-2 sm:col-span-1 row-start-2 sm:row-start-auto">
                  <p><Mark of={d.status} /> {d.alert_severity && <>· <Mark of={d.alert_severity} /></>} <span className="text-soft">· {word(d.reason)} · run {d.run} · <Time at={d.created_at} /></span></p>
                  {flat && d.error && <p className="truncate">{printable(d.error.message ?? "")}</p>}
                  {!d.replayable && <p className="text-wait">! cannot be retried: {d.not_replayable}</p>}
                  {d.auto_recover && d.status === "pending" && <p className="text-soft">goes back by itself when the breaker closes</p>}
                </div>
                <div className="flex gap-1.5 justify-self-end items-start">
                  {d.status === "pending" && <>
                    <button className="btn" disabled={!d.replayable} onClick={() => ask({ verb: "retry", taskId: d.task_id, letterId: d.id })} aria-label={`Retry ${printable(d.task_id)}`}>Retry</button>
                    <button className="btn" onClick={() => ask({ verb: "discard", taskId: d.task_id, letterId: d.id })} aria-label={`Discard ${printable(d.task_id)}`}>Discard</button></>}
                </div>
              </li>
            ))}
          </ul>
        </section>
      ))}
      {query.data && (query.data.prev_cursor || query.data.next_cursor) && (
        <nav aria-label="Pages" className="flex gap-2">
          <button className="btn" disabled={!query.data.prev_cursor} onClick={() => set({ cursor: query.data.prev_cursor ?? undefined })}>Newer</button>
          <button className="btn" disabled={!query.data.next_cursor} onClick={() => set({ cursor: query.data.next_cursor ?? undefined })}>Older</button>
        </nav>
      )}
    </>
  );
}
