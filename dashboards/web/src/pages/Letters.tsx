import { useEffect, useMemo, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { asCurl, getList } from "../api/client";
import type { DeadLetter, ErrorGroup, Page } from "../api/types";
import { useActions } from "../ui/actions";
import { printable, word } from "../ui/format";
import { useEvery } from "../ui/every";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { keep, nothing, setAll, toggle, type Selection } from "../ui/select";
import { Spark } from "../ui/Spark";
import { BulkStart, BulkView, Recent, type BulkWish } from "./Bulk";
import { Filters, letterFilter, type Search } from "./filters";

type Group = { key: string; letters: DeadLetter[] };
function grouped(letters: DeadLetter[]): Group[] {
  const by = new Map<string, DeadLetter[]>();
  for (const d of letters) {
    const k = d.error?.fingerprint ?? "";
    by.set(k, [...(by.get(k) ?? []), d]);
  }
  return [...by].map(([key, l]) => ({ key, letters: l })).sort((a, b) => b.letters.length - a.letters.length);
}

function Row({ d, flat, selected, onSelect, ask }: { d: DeadLetter; flat: boolean; selected: boolean; onSelect(range: boolean): void; ask: ReturnType<typeof useActions>["ask"] | undefined }) {
  return (
    <li data-letter={d.id} className={`px-3 py-2 grid grid-cols-[auto_1fr_auto] sm:grid-cols-[auto_minmax(0,5fr)_minmax(0,6fr)_auto] gap-x-3 gap-y-1 ${selected ? "bg-sunk" : ""}`}>
      {!ask ? <span /> : <input type="checkbox" className="mt-1 size-4" checked={selected} disabled={d.status !== "pending"} aria-label={`Select ${printable(d.task_id)}`} onChange={(e) => onSelect((e.nativeEvent as MouseEvent).shiftKey)} />}
      <div className="min-w-0"><Link to="/tasks/$id" params={{ id: d.task_id }} data-row className="link id">{printable(d.task_id)}</Link>
        <p className="text-soft break-words">{printable(d.type || "no type")} · {printable(d.queue || "no queue")}{d.amount ? ` · ${d.amount} ${d.currency ?? ""}` : ""}</p></div>
      <div className="min-w-0 col-start-2 col-span-2 sm:col-start-auto sm:col-span-1 row-start-2 sm:row-start-auto">
        <p><Mark of={d.status} /> {d.alert_severity && <>· <Mark of={d.alert_severity} /></>} <span className="text-soft">· {word(d.reason)} · run {d.run} · <Time at={d.created_at} /></span></p>
        {flat && d.error && <p className="truncate">{printable(d.error.message ?? "")}</p>}
        {!d.replayable && <p className="text-wait">! cannot be retried: {printable(d.not_replayable ?? "")}</p>}
        {d.auto_recover && d.status === "pending" && <p className="text-soft">goes back by itself when the breaker closes</p>}
        {d.superseded_by && <p className="text-soft">a later run failed too</p>}
      </div>
      <div className="flex gap-1.5 justify-self-end items-start">
        {ask && d.status === "pending" && <>
          <button className="btn" disabled={!d.replayable} onClick={() => ask({ verb: "retry", taskId: d.task_id, letterId: d.id })} aria-label={`Retry ${printable(d.task_id)}`}>Retry</button>
          <button className="btn" onClick={() => ask({ verb: "discard", taskId: d.task_id, letterId: d.id })} aria-label={`Discard ${printable(d.task_id)}`}>Discard</button></>}
      </div>
    </li>
  );
}

export function Letters() {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const client = useQueryClient();
  const { ask, ui } = useActions();
  const { may } = useMe();
  const status = search.status ?? "pending";
  const filter = letterFilter(search);
  const params = { ...filter, status: status === "any" ? undefined : status, cursor: search.cursor, limit: 100 };
  const query = useQuery({ queryKey: ["dead-letters", params], queryFn: ({ signal }) => getList<Page<DeadLetter>>("/failed-tasks", params, signal), placeholderData: (old) => old });
  // How each error went over the last day; the inbox does without where it is not known.
  const errors = useQuery({ queryKey: ["errors", "spark"], queryFn: ({ signal }) => getList<Page<ErrorGroup>>("/errors", { limit: 200, from: new Date(Date.now() - 86_400_000).toISOString() }, signal), retry: false });
  useEvery(30_000, errors.refetch);
  const set = (s: Search) => void navigate({ to: "/dead-letters", search: { ...search, cursor: undefined, ...s } as never, replace: true });
  const flat = search.group === "none";
  const groups = useMemo(() => (query.data ? (flat ? [{ key: "", letters: query.data.data }] : grouped(query.data.data)) : []), [query.data, flat]);
  // What can be acted on: nothing where the token may not.
  const open = useMemo(() => (may.operate ? groups.flatMap((g) => g.letters.filter((d) => d.status === "pending").map((d) => d.id)) : []), [groups, may.operate]);
  const [selection, setSelection] = useState<Selection>(nothing);
  const [wish, setWish] = useState<BulkWish | null>(null);
  const chosen = keep(selection, open);
  const turn = (id: string, range: boolean) => setSelection(toggle(chosen, open, id, range));
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || /^(TEXTAREA|SELECT)$/.test(el.tagName) || (el instanceof HTMLInputElement && el.type !== "checkbox")) return;
      const id = el.closest<HTMLElement>("[data-letter]")?.dataset.letter;
      if (e.key === "x" || e.key === "X") {
        if (!id || !open.includes(id)) return;
        setSelection((s) => toggle(keep(s, open), open, id, e.key === "X"));
      } else if (e.key === "Escape") setSelection(nothing);
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [open]);
  const ids = [...chosen.ids];
  const over = () => { void client.invalidateQueries({ queryKey: ["dead-letters"] }); void client.invalidateQueries({ queryKey: ["bulks"] }); };
  const filtered = Object.keys(filter).length > 0;
  return (
    <>
      <div className="flex items-center gap-4 mb-2"><h1 className="text-lg font-semibold">Dead letters</h1>
        <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/failed-tasks", params)}>Copy as curl</Copy></span></div>
      <Filters search={search} set={set} />
      {search.fingerprint && <p className="mb-2">Only <span className="id">{printable(search.fingerprint)}</span> <button className="link" onClick={() => set({ fingerprint: undefined })}>show all</button></p>}
      {ui}
      {(status === "pending" || status === "any") && open.length > 0 && (
        <div className="panel px-3 py-1.5 mb-3 flex flex-wrap items-center gap-x-3 gap-y-1 sticky top-0 z-10" role="toolbar" aria-label="Selection">
          <label className="flex items-center gap-2"><input type="checkbox" className="size-4" checked={ids.length > 0 && ids.length === open.length} ref={(el) => { if (el) el.indeterminate = ids.length > 0 && ids.length < open.length; }} onChange={(e) => setSelection(setAll(chosen, open, e.target.checked))} />
            {ids.length ? `${ids.length} selected` : "Select all here"}</label>
          {ids.length > 0 ? <>
            <button className="btn btn-main" onClick={() => setWish({ action: "retry", ids, what: `${ids.length} selected` })}>Retry selected…</button>
            <button className="btn btn-bad" onClick={() => setWish({ action: "discard", ids, what: `${ids.length} selected` })}>Discard selected…</button>
            <button className="btn" onClick={() => setSelection(nothing)}>Select none</button>
          </> : filtered ? <>
            <button className="btn" onClick={() => setWish({ action: "retry", filter, what: "all that fit the filter" })}>Retry all that fit…</button>
            <button className="btn" onClick={() => setWish({ action: "discard", filter, what: "all that fit the filter" })}>Discard all that fit…</button>
          </> : <span className="label">or set a filter to act on all that fit it</span>}
          <span className="label ml-auto hidden sm:inline"><kbd className="mono">x</kbd> selects the row, <kbd className="mono">X</kbd> or shift all up to it, <kbd className="mono">Esc</kbd> none</span>
        </div>
      )}
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : query.data.data.length === 0 ? (
        <div className="panel"><Empty title="No dead letter here">{status === "pending" && !filtered ? "Every failed task was retried, resolved or discarded." : <button className="link" onClick={() => void navigate({ to: "/dead-letters", search: { ns: search.ns } as never, replace: true })}>Clear the filter</button>}</Empty></div>
      ) : groups.map((g) => {
        const group = errors.data?.data.find((e) => e.fingerprint === g.key);
        const mine = g.letters.map((d) => d.id).filter((id) => open.includes(id));
        const on = mine.filter((id) => chosen.ids.has(id)).length;
        return (
          <section key={g.key || "all"} className="panel mb-3" aria-label={printable(g.letters[0]?.error?.message ?? "Dead letters")}>
            {!flat && (
              <header className="px-3 py-2 bg-sunk rounded-t-[6px] flex flex-wrap gap-x-3 gap-y-1 items-center">
                {may.operate && <input type="checkbox" className="size-4" disabled={!mine.length} checked={on > 0 && on === mine.length} ref={(el) => { if (el) el.indeterminate = on > 0 && on < mine.length; }} aria-label={`Select the ${mine.length} of this error`} onChange={(e) => setSelection(setAll(chosen, mine, e.target.checked))} />}
                <h2 className="font-medium min-w-0 grow basis-48 break-words">{printable(g.letters[0]?.error?.message ?? "No error on record")}</h2>
                {group && <Spark counts={group.counts} stepMs={group.counts_step_ms} />}
                {group && group.status !== "open" && <Mark of={group.status} />}
                <span className="whitespace-nowrap">{g.letters.length} {g.letters.length === 1 ? "task" : "tasks"}</span>
                {g.key && mine.length > 0 && <button className="btn" onClick={() => setWish({ action: "retry", filter: { ...filter, fingerprint: g.key }, what: "all of this error" })}>Retry all…</button>}
              </header>
            )}
            <ul className="rows">{g.letters.map((d) => <Row key={d.id} d={d} flat={flat} selected={chosen.ids.has(d.id)} onSelect={(range) => turn(d.id, range)} ask={may.operate ? ask : undefined} />)}</ul>
          </section>
        );
      })}
      {query.data && (query.data.prev_cursor || query.data.next_cursor) && (
        <nav aria-label="Pages" className="flex gap-2">
          <button className="btn" disabled={!query.data.prev_cursor} onClick={() => set({ cursor: query.data.prev_cursor ?? undefined })}>Newer</button>
          <button className="btn" disabled={!query.data.next_cursor} onClick={() => set({ cursor: query.data.next_cursor ?? undefined })}>Older</button>
        </nav>
      )}
      <Recent onOpen={(id) => set({ bulk: id, cursor: search.cursor })} />
      {wish && !search.bulk && <BulkStart wish={wish} onStarted={(id) => { setWish(null); setSelection(nothing); over(); set({ bulk: id, cursor: search.cursor }); }} onClose={() => setWish(null)} />}
      {search.bulk && <BulkView key={search.bulk} id={search.bulk} onClose={() => { over(); set({ bulk: undefined, cursor: search.cursor }); }} />}
    </>
  );
}
