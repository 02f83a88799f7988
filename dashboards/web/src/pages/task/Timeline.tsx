import { memo, useCallback, useDeferredValue, useLayoutEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { Entry } from "../../api/types";
import { duration, json, printable, why, word } from "../../ui/format";
import { Copy, Empty, Mark } from "../../ui/parts";
import { Time } from "../../ui/prefs";
import { proof } from "../../ui/stop";

// says is an entry in a line of words, put together once.
const said = new WeakMap<Entry, string>();
function says(e: Entry): string {
  let t = said.get(e);
  if (t === undefined) said.set(e, (t = words(e)));
  return t;
}
function words(e: Entry): string {
  if (e.type === "gap") {
    const { from_seq: from, to_seq: to, reason } = e.gap;
    return `${from === to ? `event ${from} of the run is` : `events ${from} to ${to} of the run are`} missing${reason && reason !== "missing" ? `: ${printable(reason)}` : ""}`;
  }
  const parts: string[] = [];
  if (e.error?.message) parts.push(printable(e.error.message));
  if (e.failure_reason) parts.push(word(e.failure_reason));
  if (e.retry) parts.push(e.retry.delay_ms ? `attempt ${e.retry.next_attempt} after ${duration(e.retry.delay_ms)} (${why(e.retry)})` : `attempt ${e.retry.next_attempt}: ${why(e.retry)}`);
  if (e.operator?.actor) parts.push(printable(`by ${e.operator.actor}${e.operator.reason ? `: ${e.operator.reason}` : ""}`));
  if (e.stop_proof) parts.push(printable(proof(e.stop_proof)));
  if (e.duration_ms) parts.push(duration(e.duration_ms));
  return parts.join(" · ");
}

// placeOf names an entry in the address; a gap has no id, it is where it is.
const placeOf = (e: Entry) => (e.type === "gap" ? `gap-${e.run}-${e.source_id}-${e.gap.from_seq}` : e.event_id);

// What is looked for in an entry is written once for each.
const texts = new WeakMap<Entry, string>();
function textOf(e: Entry): string {
  let t = texts.get(e);
  if (t === undefined) texts.set(e, (t = JSON.stringify(e).toLowerCase()));
  return t;
}

// A row's height is known from what it says, so that thousands can be scrolled past
// without measuring one. What is too long for two lines stands in the JSON.
const lineChars = 72; // that surely fit beside the rest
const wide = () => matchMedia("(min-width: 640px)");
function heightOf(e: Entry, isWide: boolean, open: boolean): number {
  const long = says(e).length > (isWide ? lineChars : 48);
  const row = isWide ? (long ? 56 : 36) : long ? 100 : says(e) ? 80 : 58;
  return row + (open ? jsonHeight(e) + 8 : 0);
}
const jsonHeight = (e: Entry) => Math.min(420, 24 + 19 * json(e).split("\n").length);

function useWide(): boolean {
  return useSyncExternalStore((changed) => { const m = wide(); m.addEventListener("change", changed); return () => m.removeEventListener("change", changed); }, () => wide().matches);
}

// Row is drawn again only where its entry changes.
const Row = memo(function Row({ e, index, open, toggle }: { e: Entry; index: number; open: boolean; toggle(e: Entry): void }) {
  return (
    <>
      <div className="grid grid-cols-[auto_1fr_auto] sm:grid-cols-[7rem_3rem_13rem_minmax(0,1fr)_auto] gap-x-3 items-baseline">
        <span className="label"><Time at={e.occurred_at} exact /></span>
        <span className="text-soft mono">{e.run}{e.attempt ? `.${e.attempt}` : ""}</span>
        <span className="max-sm:col-span-2 max-sm:col-start-1 max-sm:row-start-2 font-medium truncate">{e.type === "gap" ? <span className="text-wait">⌇ gap</span> : e.severity === "info" ? word(e.type) : <><Mark of={e.severity} /> {word(e.type)}</>}</span>
        <span className="max-sm:col-span-3 max-sm:col-start-1 max-sm:row-start-3 min-w-0 line-clamp-2 break-words text-soft" title={says(e)} dir="auto">{says(e)}</span>
        <button className="link max-sm:col-start-3 max-sm:row-start-1" aria-expanded={open} onClick={() => toggle(e)}>JSON<span className="sr-only"> of event {index + 1}</span></button>
      </div>
      {open && <pre className="code mt-1" style={{ height: jsonHeight(e) }} tabIndex={0}>{json(e)}</pre>}
    </>
  );
});

export const Timeline = memo(function Timeline({ entries }: { entries: Entry[] }) {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const box = useRef<HTMLDivElement>(null);
  const { severity, run, types } = search;
  const text = useDeferredValue((search.q ?? "").toLowerCase());
  const rows = useMemo(() => entries.filter((e) => (!severity || e.severity === severity) && (!types || e.type === types) && (!run || String(e.run) === run) && (!text || textOf(e).includes(text))), [entries, severity, run, types, text]);
  const open = useMemo(() => (search.event ? rows.findIndex((e) => placeOf(e) === search.event) : -1), [rows, search.event]);
  const present = useMemo(() => [...new Set(entries.map((e) => e.type))], [entries]);
  const gaps = useMemo(() => entries.filter((e) => e.type === "gap").length, [entries]);
  const runs = useMemo(() => [...new Set(entries.map((e) => e.run))], [entries]);
  const isWide = useWide();
  const v = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: (i) => heightOf(rows[i]!, isWide, open === i), overscan: 6 });
  useLayoutEffect(() => v.measure(), [v, rows, isWide, open]);
  const set = (s: Record<string, string | undefined>) => void navigate({ to: ".", search: { ...search, ...s } as never, replace: true });
  const turn = useRef((_: Entry) => undefined as void);
  turn.current = (e) => set({ event: search.event === placeOf(e) ? undefined : placeOf(e) });
  const toggle = useCallback((e: Entry) => turn.current(e), []);
  return (
    <>
      <div className="flex flex-wrap gap-2 mb-2 items-center">
        <select className="field" aria-label="Severity" value={severity ?? ""} onChange={(e) => set({ severity: e.target.value || undefined })}>
          <option value="">any severity</option>{["info", "warning", "error", "critical"].map((s) => <option key={s}>{s}</option>)}
        </select>
        <select className="field max-w-44" aria-label="Event" value={types ?? ""} onChange={(e) => set({ types: e.target.value || undefined })}>
          <option value="">any event</option>{[...new Set([...present, ...(types ? [types] : [])])].map((t) => <option key={t} value={t}>{word(t)}</option>)}
        </select>
        <Runs runs={runs} value={run} onSet={(r) => set({ run: r })} />
        <input className="field grow max-w-xs" type="search" data-search aria-label="Text in the events" placeholder="Text in the events…" value={search.q ?? ""} onChange={(e) => set({ q: e.target.value || undefined })} />
        <span className="label">{rows.length === entries.length ? `${rows.length} events` : `${rows.length} of ${entries.length} events`}</span>
        {gaps > 0 && <button className="link text-wait" aria-pressed={types === "gap"} onClick={() => set({ types: types === "gap" ? undefined : "gap" })}>⌇ {gaps} {gaps === 1 ? "gap" : "gaps"}</button>}
        <span className="ml-auto"><Copy text={() => JSON.stringify(rows, null, 2)}>Copy JSON</Copy></span>
      </div>
      {rows.length === 0 ? <div className="panel"><Empty title="No event fits the filter" /></div> : (
        <div ref={box} className="panel overflow-auto" style={{ maxHeight: "70vh" }} tabIndex={0} role="region" aria-label="Events">
          <ol style={{ position: "relative", height: v.getTotalSize(), contain: "strict" }}>
            {v.getVirtualItems().map((item) => {
              const e = rows[item.index]!;
              return (
                <li key={item.key} className={`absolute inset-x-0 top-0 overflow-hidden px-3 py-1.5 border-b border-line ${e.type === "gap" ? "bg-sunk" : ""}`} style={{ height: item.size, contain: "strict", transform: `translateY(${item.start}px)` }}>
                  <Row e={e} index={item.index} open={open === item.index} toggle={toggle} />
                </li>
              );
            })}
          </ol>
        </div>
      )}
    </>
  );
});

// Runs chooses one of them; a task that was retried for years has more than a list
// can be walked through, and they are typed.
const listedRuns = 200;
function Runs({ runs, value, onSet }: { runs: number[]; value: string | undefined; onSet(run: string | undefined): void }) {
  if (runs.length < 2) return null;
  if (runs.length > listedRuns) return <input className="field w-24" inputMode="numeric" aria-label="Run" placeholder="any run" value={value ?? ""} onChange={(e) => onSet(e.target.value.trim() || undefined)} />;
  return <select className="field" aria-label="Run" value={value ?? ""} onChange={(e) => onSet(e.target.value || undefined)}><option value="">any run</option>{runs.map((r) => <option key={r} value={r}>run {r}</option>)}</select>;
}
