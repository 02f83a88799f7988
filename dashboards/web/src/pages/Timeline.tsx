import { useRef, useState } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { Entry } from "../api/types";
import { duration, printable, why, word } from "../ui/format";
import { Copy, Empty, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";

// says is an entry in a line of words.
function says(e: Entry): string {
  if (e.type === "gap") return `events ${e.gap.from_seq} to ${e.gap.to_seq} are missing: ${e.gap.reason}`;
  const parts: string[] = [];
  if (e.error?.message) parts.push(printable(e.error.message));
  if (e.failure_reason) parts.push(word(e.failure_reason));
  if (e.retry) parts.push(`attempt ${e.retry.next_attempt} after ${duration(e.retry.delay_ms)} (${why(e.retry)})`);
  if (e.operator?.actor) parts.push(`by ${e.operator.actor}${e.operator.reason ? `: ${e.operator.reason}` : ""}`);
  if (e.stop_proof) parts.push(e.stop_proof);
  if (e.duration_ms) parts.push(duration(e.duration_ms));
  return parts.join(" · ");
}

export function Timeline({ entries }: { entries: Entry[] }) {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const [open, setOpen] = useState<number | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const text = (search.q ?? "").toLowerCase();
  const rows = entries.filter((e) => (!search.severity || e.severity === search.severity) && (!search.run || String(e.run) === search.run) && (!text || JSON.stringify(e).toLowerCase().includes(text)));
  const v = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => 50, overscan: 10 });
  const runs = [...new Set(entries.map((e) => e.run))];
  const set = (s: Record<string, string | undefined>) => void navigate({ to: ".", search: { ...search, ...s } as never, replace: true });
  return (
    <>
      <div className="flex flex-wrap gap-2 mb-2 items-center">
        <select className="field" aria-label="Severity" value={search.severity ?? ""} onChange={(e) => set({ severity: e.target.value || undefined })}>
          <option value="">any severity</option>{["info", "warning", "error", "critical"].map((s) => <option key={s}>{s}</option>)}
        </select>
        {runs.length > 1 && <select className="field" aria-label="Run" value={search.run ?? ""} onChange={(e) => set({ run: e.target.value || undefined })}><option value="">any run</option>{runs.map((r) => <option key={r} value={r}>run {r}</option>)}</select>}
        <input className="field grow max-w-xs" type="search" data-search aria-label="Text in the events" placeholder="Text in the events…" value={search.q ?? ""} onChange={(e) => set({ q: e.target.value || undefined })} />
        <span className="label">{rows.length === entries.length ? `${rows.length} events` : `${rows.length} of ${entries.length} events`}</span>
        <span className="ml-auto"><Copy text={JSON.stringify(rows, null, 2)}>Copy JSON</Copy></span>
      </div>
      {rows.length === 0 ? <div className="panel"><Empty title="No event fits the filter" /></div> : (
        <div ref={box} className="panel overflow-auto" style={{ maxHeight: "70vh" }} tabIndex={0} role="region" aria-label="Events">
          <ol style={{ position: "relative", height: v.getTotalSize() }}>
            {v.getVirtualItems().map((item) => {
              const e = rows[item.index]!;
              return (
                <li key={item.key} ref={v.measureElement} data-index={item.index} className={`absolute inset-x-0 top-0 px-3 py-1.5 border-b border-line ${e.type === "gap" ? "bg-sunk" : ""}`} style={{ transform: `translateY(${item.start}px)` }}>
                  <div className="flex flex-wrap sm:flex-nowrap gap-x-3 items-baseline">
                    <span className="label w-28 shrink-0"><Time at={e.occurred_at} /></span>
                    <span className="w-12 shrink-0 text-soft mono">{e.run}{e.attempt ? `.${e.attempt}` : ""}</span>
                    <span className="shrink-0 sm:w-52 font-medium">{e.type === "gap" ? <span className="text-wait">⌇ gap</span> : e.severity === "info" ? word(e.type) : <><Mark of={e.severity} /> {word(e.type)}</>}</span>
                    <span className="min-w-0 grow break-words text-soft">{says(e)}</span>
                    <button className="link shrink-0" aria-expanded={open === item.index} onClick={() => setOpen(open === item.index ? null : item.index)}>JSON<span className="sr-only"> of event {item.index + 1}</span></button>
                  </div>
                  {open === item.index && <pre className="code mt-1" tabIndex={0}>{JSON.stringify(e, null, 2)}</pre>}
                </li>
              );
            })}
          </ol>
        </div>
      )}
    </>
  );
}
