// Bulk actions on dead letters: first what would be done, then how carefully, then
// what became of each.
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get, getList, post, Send } from "../api/client";
import type { Bulk, BulkCount, BulkItem, BulkSummary, Page } from "../api/types";
import { useEvery } from "../ui/every";
import { printable, word } from "../ui/format";
import { Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";

export type BulkWish = { action: "retry" | "discard"; ids?: string[]; filter?: Record<string, string>; what: string };

export function Drawer({ label, children, onClose }: { label: string; children: ReactNode; onClose(): void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} className="ask drawer" aria-label={label} onClose={onClose}>
      <form method="dialog" className="float-right"><button className="btn" aria-label="Close">✕</button></form>
      {children}
    </dialog>
  );
}

function Counts({ title, rows, total }: { title: string; rows: BulkCount[]; total: number }) {
  if (!rows.length) return null;
  return (
    <section className="mt-3" aria-label={title}>
      <h3 className="label">{title}</h3>
      <ul>{rows.map((r) => (
        <li key={r.key} className="flex gap-3 py-0.5"><span className="min-w-0 grow break-words">{printable(r.sample || word(r.key) || "none")}{r.sample && r.key ? <span className="id text-soft"> {printable(r.key)}</span> : null}</span><span className="whitespace-nowrap">{r.count} <span className="text-soft">of {total}</span></span></li>
      ))}</ul>
    </section>
  );
}

const ages: Record<string, string> = { "1h": "within the last hour", "24h": "within the last day", "7d": "within the last 7 days", older: "older than 7 days" };

// What a field of numbers holds, or the fault in it.
function number(text: string, min: number, max: number): number | undefined {
  const n = Number(text);
  return text.trim() !== "" && Number.isFinite(n) && n >= min && n <= max ? n : undefined;
}

export function BulkStart({ wish, onStarted, onClose }: { wish: BulkWish; onStarted(id: string): void; onClose(): void }) {
  const retry = wish.action === "retry";
  const path = `/failed-tasks/bulk-${wish.action}`;
  const what = wish.ids ? { ids: wish.ids } : { filter: wish.filter };
  const dry = useQuery({ queryKey: ["bulk-dry", wish], gcTime: 0, staleTime: Infinity, queryFn: () => post<BulkSummary>(path, { ...what, dry_run: true }) });
  const [f, setF] = useState({ reason: "", canary: "", rate: "10", share: "50", min: "10", breaker: true });
  const set = (change: Partial<typeof f>) => setF((old) => ({ ...old, ...change }));
  const n = dry.data?.total ?? 0;
  const canary = f.canary === "" ? Math.min(5, n) : number(f.canary, 0, 10_000);
  const rate = number(f.rate, 0.01, 1000), share = number(f.share, 0, 100), min = number(f.min, 1, 10_000);
  const body: Record<string, unknown> = { ...what, ...(f.reason.trim() ? { reason: f.reason.trim() } : {}), rate_per_second: rate };
  if (retry) Object.assign(body, { canary, stop: { failure_share: (share ?? 0) / 100, min_finished: min, on_breaker_open: f.breaker } });
  const send = useRef(new Send()).current;
  const start = useMutation({
    mutationFn: () => send.post<Bulk>(path, body),
    onSuccess: (b) => onStarted(b.id),
  });
  const bad = rate === undefined || (retry && (canary === undefined || share === undefined || min === undefined));
  const field = (name: keyof typeof f, label: string, hint: string, value: string, wrong: boolean) => (
    <label className="block min-w-0"><span className="label block">{label}</span>
      <input className="field w-full" inputMode="decimal" value={value} aria-invalid={wrong} onChange={(e) => set({ [name]: e.target.value })} />
      <span className={`label ${wrong ? "text-bad" : ""}`}>{wrong ? `✕ ${hint}` : hint}</span></label>
  );
  return (
    <Drawer label={retry ? "Bulk retry" : "Bulk discard"} onClose={onClose}>
      <h2 className="text-base font-semibold">{retry ? "Retry" : "Discard"} {wish.what}</h2>
      {dry.isPending ? <Loading /> : dry.isError ? <div className="mt-3"><Failed problem={dry.error} again={() => void dry.refetch()} /></div> : n === 0 ? <Empty title="Nothing to act on">No pending dead letter fits any more.</Empty> : (
        <form onSubmit={(e) => { e.preventDefault(); if (!bad) start.mutate(); }}>
          <p className="mt-2"><strong>{n}</strong> {n === 1 ? "dead letter" : "dead letters"} would be {retry ? "retried with the original input" : "discarded for good"}, the oldest first. <span className="text-soft">Nothing has been done yet.</span></p>
          {retry && dry.data.not_replayable > 0 && <p className="text-wait">! {dry.data.not_replayable} would be skipped: their original input is not to be had.</p>}
          {retry && dry.data.not_requeueable > 0 && <p className="text-wait">! {dry.data.not_requeueable} would be skipped: nothing can run them again.</p>}
          {dry.data.oldest_at && <p className="text-soft">From <Time at={dry.data.oldest_at} past /> to <Time at={dry.data.newest_at} past /></p>}
          <Counts title="By error" rows={dry.data.by_fingerprint} total={n} />
          <Counts title="By age" rows={dry.data.by_age.filter((r) => r.count > 0).map((r) => ({ ...r, key: ages[r.key] ?? r.key }))} total={n} />
          {dry.data.by_type.length > 1 && <Counts title="By type" rows={dry.data.by_type} total={n} />}
          {dry.data.by_reason.length > 1 && <Counts title="By reason" rows={dry.data.by_reason} total={n} />}
          <label className="block mt-3"><span className="label block">Reason, kept on every task's timeline</span><input className="field w-full" value={f.reason} maxLength={1024} required={!retry} onChange={(e) => set({ reason: e.target.value })} /></label>
          <div className="grid grid-cols-2 gap-x-4 gap-y-2 mt-3">
            {retry && field("canary", "Try first", "so many, then wait for their outcome; 0 to 10 000", f.canary === "" ? String(Math.min(5, n)) : f.canary, canary === undefined)}
            {field("rate", "A second", "at most so many; 0.01 to 1000", f.rate, rate === undefined)}
            {retry && field("share", "Stop above, % failed", "of the finished ones; 0 to 100", f.share, share === undefined)}
            {retry && field("min", "From so many finished", "1 to 10 000", f.min, min === undefined)}
          </div>
          {retry && <label className="flex items-center gap-1.5 mt-2"><input type="checkbox" checked={f.breaker} onChange={(e) => set({ breaker: e.target.checked })} />Stop before a task whose provider's breaker is open</label>}
          {start.isError && <div className="mt-3"><Failed problem={start.error} /></div>}
          <p className="mt-4 flex justify-end gap-2"><button type="button" className="btn" onClick={onClose}>Do nothing</button>
            <button type="submit" className={`btn ${retry ? "btn-main" : "btn-bad"}`} disabled={bad || start.isPending}>{start.isPending ? "Sending…" : retry ? (canary ? `Start with ${Math.min(canary, n)} of ${n}` : `Retry all ${n}`) : `Discard ${n}`}</button></p>
        </form>
      )}
    </Drawer>
  );
}

const parts = [["succeeded", "var(--good)"], ["discarded", "var(--idle)"], ["failed", "var(--bad)"], ["skipped", "var(--wait)"], ["running", "var(--run)"]] as const;

function Bar({ of: p }: { of: Bulk["progress"] }) {
  let x = 0;
  return (
    <>
      <svg className="block mt-2" width="100%" height={8} viewBox={`0 0 ${Math.max(1, p.total)} 8`} preserveAspectRatio="none" role="img" aria-label={`${p.total - p.waiting - p.running} of ${p.total} are over`}>
        <rect width={Math.max(1, p.total)} height={8} fill="var(--line)" />
        {parts.map(([k, fill]) => { const r = <rect key={k} x={x} width={p[k]} height={8} fill={fill} />; x += p[k]; return r; })}
      </svg>
      <p className="mt-1 flex flex-wrap gap-x-4" data-over={p.total - p.waiting - p.running}>{[...parts.map(([k]) => k), "waiting" as const].filter((k) => p[k] > 0).map((k) => <span key={k}><Mark of={k} /> {p[k]}</span>)}<span className="text-soft">of {p.total}</span></p>
    </>
  );
}

const moving = (b: Bulk | undefined) => b?.status === "running";

export function BulkView({ id, onClose }: { id: string; onClose(): void }) {
  const client = useQueryClient();
  const [status, setStatus] = useState("");
  const [ending, setEnding] = useState(false);
  const bulk = useQuery({ queryKey: ["bulk", id], queryFn: ({ signal }) => get<Bulk>(`/bulk/${id}`, {}, signal), refetchInterval: (q) => (!q.state.data || moving(q.state.data) ? 1000 : 10_000) });
  const items = useQuery({ queryKey: ["bulk", id, "items", status], queryFn: ({ signal }) => getList<Page<BulkItem>>(`/bulk/${id}/items`, { status, limit: 200 }, signal), refetchInterval: () => (moving(bulk.data) ? 1500 : false), placeholderData: (old) => old });
  const b = bulk.data;
  const over = b && !moving(b);
  const refetch = items.refetch;
  useEffect(() => { if (over) void refetch(); }, [over, refetch]);
  const act = useMutation({
    mutationFn: (verb: "pause" | "resume" | "abort") => post<Bulk>(`/bulk/${id}/${verb}`, {}),
    onSuccess: (next) => { setEnding(false); client.setQueryData(["bulk", id], next); void client.invalidateQueries({ queryKey: ["bulks"] }); },
  });
  return (
    <Drawer label="Bulk action" onClose={onClose}>
      {bulk.isError && !b ? <Failed problem={bulk.error} again={() => void bulk.refetch()} /> : !b ? <Loading /> : (
        <>
          <h2 className="text-base font-semibold">Bulk {b.action} <Mark of={b.status} /></h2>
          <p className="text-soft">by {printable(b.created_by)}, <Time at={b.created_at} past />{b.reason ? ` · ${printable(b.reason)}` : ""} · {b.rate_per_second} a second{b.canary ? ` · first ${b.canary}` : ""}{b.action === "retry" ? ` · stops above ${Math.round(b.stop.failure_share * 100)} % failed` : ""}</p>
          <div aria-live="polite"><Bar of={b.progress} />
            {b.status_reason && <p className="text-wait">! {printable(b.status_reason)}</p>}
            {b.progress.note && b.status === "running" && <p className="text-soft">{printable(b.progress.note)}</p>}</div>
          {bulk.isError && <div className="mt-2"><Failed problem={bulk.error} /></div>}
          {act.isError && <div className="mt-2"><Failed problem={act.error} /></div>}
          <p className="mt-3 flex flex-wrap gap-2 items-center">
            {b.status === "running" && <button className="btn" disabled={act.isPending} onClick={() => act.mutate("pause")}>Pause</button>}
            {(b.status === "paused" || b.status === "stopped") && <button className="btn btn-main" disabled={act.isPending} onClick={() => act.mutate("resume")}>Resume</button>}
            {(b.status === "running" || b.status === "paused" || b.status === "stopped") && (ending
              ? <><span>What waits is left as it is.</span><button className="btn btn-bad" disabled={act.isPending} onClick={() => act.mutate("abort")}>Abort for good</button><button className="btn" onClick={() => setEnding(false)}>Go on</button></>
              : <button className="btn btn-bad" onClick={() => setEnding(true)}>Abort…</button>)}
          </p>
          <div className="mt-4 flex items-center gap-2"><h3 className="font-medium">Each item</h3>
            <select className="field" aria-label="Outcome" value={status} onChange={(e) => setStatus(e.target.value)}><option value="">any outcome</option>{["waiting", "running", "succeeded", "failed", "skipped", "discarded"].map((s) => <option key={s}>{s}</option>)}</select></div>
          {items.isError ? <Failed problem={items.error} again={() => void items.refetch()} /> : (
            <ul className="rows mt-1" aria-label="Items">{items.data?.data.map((i) => (
              <li key={i.index} className="py-1.5 flex flex-wrap gap-x-3"><Link to="/tasks/$id" params={{ id: i.task_id }} className="link id min-w-0">{printable(i.task_id)}</Link><span className="ml-auto"><Mark of={i.status} />{i.next_run ? ` · run ${i.next_run}` : ""}</span>{i.detail && <span className="w-full text-soft">{i.code ? `${word(i.code)}: ` : ""}{printable(i.detail)}</span>}</li>
            ))}</ul>
          )}
          {items.data?.data.length === 0 && <p className="text-soft">None.</p>}
          {items.data?.next_cursor && <p className="text-soft">The first 200; the rest is at <span className="id">GET /bulk/{id}/items</span>.</p>}
        </>
      )}
    </Drawer>
  );
}

export function Recent({ onOpen }: { onOpen(id: string): void }) {
  const query = useQuery({ queryKey: ["bulks"], queryFn: ({ signal }) => getList<Page<Bulk>>("/bulk", { limit: 10 }, signal), retry: false });
  useEvery(query.data?.data.some(moving) ? 2000 : 30_000, query.refetch);
  // Who may not see them is not told of them.
  if (!query.data?.data.length) return null;
  return (
    <section className="panel mt-4" aria-label="Recent bulk actions">
      <h2 className="px-3 py-2 font-medium">Recent bulk actions</h2>
      <ul className="rows border-t border-line">{query.data.data.map((b) => (
        <li key={b.id} className="px-3 py-1.5 flex flex-wrap gap-x-3 items-baseline">
          <button className="link" onClick={() => onOpen(b.id)}>{b.action} of {b.progress.total}</button><Mark of={b.status} />
          <span className="text-soft min-w-0 break-words">{b.progress.succeeded + b.progress.discarded} done, {b.progress.failed} failed, {b.progress.skipped} skipped{b.reason ? ` · ${printable(b.reason)}` : ""}</span>
          <span className="text-soft ml-auto">{printable(b.created_by)}, <Time at={b.created_at} past /></span>
        </li>
      ))}</ul>
    </section>
  );
}
