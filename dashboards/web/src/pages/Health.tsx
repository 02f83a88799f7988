import { useEffect, useMemo, useState, type ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { asCurl, get, getList } from "../api/client";
import type { BreakerChange, Health as HealthRow, History, Page, Provider } from "../api/types";
import { useAddress } from "../ui/address";
import { Life } from "../ui/BreakerLife";
import { Chart } from "../ui/Chart";
import { useEvery } from "../ui/every";
import { duration, printable, word } from "../ui/format";
import { figure, trails } from "../ui/history";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";
import { ByType } from "./ByType";

function Figure({ name, children, sub }: { name: string; children: ReactNode; sub?: ReactNode }) {
  return <div className="panel px-3 py-2 min-w-0"><p className="label">{name}</p><p className="text-xl font-semibold">{children}</p><p className="label">{sub ?? "\u00a0"}</p></div>;
}

const everyMs = 5000;
const historyEveryMs = 20_000; // it grows by the minute
const windows = { "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800 } as const;
type Window = keyof typeof windows;
type Trail = { t: number[]; depth: number[] };
const noTrail: Trail = { t: [], depth: [] };
const minute = (v: number) => `${figure(v)}/min`;
const percent = (v: number) => `${figure(v)} %`;
const count = (v: number) => figure(v);

// What is drawn of the history, for one type or all.
function Charts({ history: h }: { history: History }) {
  const t = useMemo(() => trails(h), [h]);
  const of = useMemo(() => ({
    runs: [{ name: "completed", values: t.completed, colour: "--good", fill: true }, { name: "failed", values: t.failed, colour: "--bad", dash: [6, 3] }, { name: "cancelled or lost", values: t.stopped, colour: "--lost", dash: [2, 2] }],
    rate: [{ name: "of runs failed", values: t.rate, colour: "--bad", fill: true }],
    times: [{ name: "p50", values: t.p50, colour: "--run" }, { name: "p95", values: t.p95, colour: "--wait", dash: [6, 3] }, { name: "p99", values: t.p99, colour: "--bad", dash: [2, 2] }],
    letters: [{ name: "added", values: t.letters, colour: "--lost", fill: true }],
  }), [t]);
  const common = { times: t.times, lasting: h.step_ms / 1000, group: "health" };
  return (
    <div className="grid md:grid-cols-2 gap-3">
      <Chart {...common} title="Throughput" lines={of.runs} write={minute} top={1} />
      <Chart {...common} title="Failure rate" lines={of.rate} write={percent} top={5} />
      <Chart {...common} title="Execution time of attempts" lines={of.times} write={duration} log />
      <Chart {...common} title="New dead letters" lines={of.letters} write={minute} top={1} />
    </div>
  );
}

// One provider's breakers over the window.
function BreakerTrail({ provider: p, window }: { provider: Provider; window: Window }) {
  const { now } = usePrefs();
  const query = useQuery({ queryKey: ["providers", p.provider, "recent"], queryFn: ({ signal }) => getList<Page<BreakerChange>>(`/providers/${encodeURIComponent(p.provider)}/history`, { limit: 200 }, signal) });
  useEvery(everyMs, query.refetch);
  return (
    <li className="pt-2">
      <p className="px-3 flex flex-wrap gap-x-3 items-baseline"><Link className="link" to="/providers" search={{ provider: p.provider } as never}>{printable(p.provider)}</Link><Mark of={p.state} /><span className="text-soft">opened {p.opened} {p.opened === 1 ? "time" : "times"} in {window}</span></p>
      {query.isError ? <div className="p-3"><Failed problem={query.error} again={() => void query.refetch()} /></div> : query.data && <Life changes={query.data.data} from={now - windows[window] * 1000} to={now} />}
    </li>
  );
}

const shownProviders = 4;

function Breakers({ health: h, window }: { health: HealthRow; window: Window }) {
  const { may } = useMe();
  const query = useQuery({ queryKey: ["providers", "all", window], queryFn: ({ signal }) => getList<Page<Provider>>("/providers", { window }, signal), placeholderData: (old) => old, enabled: may.readAll });
  useEvery(everyMs, query.refetch);
  const moved = (query.data?.data ?? []).filter((p) => p.opened > 0 || p.state !== "closed");
  return (
    <section className="panel" aria-label="Circuit breakers"><h2 className="px-3 pt-2 font-medium">Circuit breakers</h2>
      {h.active_circuit_breakers.length === 0 ? <p className="px-3 py-2 text-soft"><span className="text-good" aria-hidden="true">✓ </span>All are closed.</p> : <ul className="rows">{h.active_circuit_breakers.map((b) => <li key={`${b.provider}${b.source_id}`} className="px-3 py-2"><p><span className="font-medium">{printable(b.provider)}</span> <Mark of={b.state} /> <span className="text-soft">since <Time at={b.since} />{b.open_until && <>, probes <Time at={b.open_until} /></>}</span></p><p className="text-soft">{word(b.why)}{b.calls ? `: ${b.failures ?? 0} of ${b.calls} calls failed` : ""}</p></li>)}</ul>}
      {query.isError && <div className="p-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {moved.length > 0 && <ul className="border-t border-line" aria-label="Their history">{moved.slice(0, shownProviders).map((p) => <BreakerTrail key={p.provider} provider={p} window={window} />)}</ul>}
      {moved.length > shownProviders && <p className="px-3 pb-2"><Link className="link" to="/providers">{moved.length - shownProviders} more</Link></p>}
    </section>
  );
}

export function Health() {
  const [search, set] = useAddress();
  const window: Window = search.window && search.window in windows ? (search.window as Window) : "1h";
  const type = search.type ?? "";
  const query = useQuery({ queryKey: ["health", window], queryFn: ({ signal }) => get<HealthRow>("/tasks/monitoring/health", { window }, signal), placeholderData: (old) => old });
  const past = useQuery({ queryKey: ["health", "history", window, type], queryFn: ({ signal }) => get<History>("/tasks/monitoring/history", { window, type }, signal), placeholderData: (old) => old });
  useEvery(everyMs, query.refetch);
  useEvery(historyEveryMs, past.refetch);
  const [trail, setTrail] = useState(noTrail);
  const h = query.data;
  useEffect(() => {
    if (!h) return;
    const at = Date.parse(h.generated_at) / 1000;
    setTrail((old) => (old.t.at(-1) === at ? old : { t: [...old.t, at].slice(-360), depth: [...old.depth, h.queue_depth].slice(-360) }));
  }, [h]);
  const depth = useMemo(() => [{ name: "tasks", values: trail.depth, colour: "--run", fill: true }], [trail]);
  const types = past.data?.types ?? [];
  const names = types.map((t) => t.type).filter(Boolean);
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">Health</h1>
        <label className="flex items-center gap-1.5"><span className="label">looking back</span><select className="field" value={window} onChange={(e) => set({ window: e.target.value === "1h" ? undefined : e.target.value })}>{Object.keys(windows).map((w) => <option key={w}>{w}</option>)}</select></label>
        {h && <span className="label">as of <Time at={h.generated_at} /></span>}
        <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/tasks/monitoring/health", { window })}>Copy as curl</Copy></span>
      </div>
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!h ? !query.isError && <Loading /> : (
        <div className="grid grid-cols-[minmax(0,1fr)] gap-3">
          {h.stale && <p className="text-wait">! {printable(h.stale)}</p>}
          {h.omitted && <p className="text-soft">Not shown to this token: {h.omitted.map(word).join(", ")}.</p>}
          <div className="grid grid-cols-2 md:grid-cols-4 gap-3">
            <Figure name="Queue depth" sub={`${h.tasks.pending ?? 0} pending, ${h.tasks.in_progress ?? 0} in progress, ${h.tasks.retrying ?? 0} retrying`}>{h.queue_depth}</Figure>
            <Figure name="Failure rate" sub={`${h.failed_runs} of ${h.failed_runs + h.completed_runs} runs`}>{(h.failure_rate * 100).toFixed(1)} %</Figure>
            <Figure name="Execution time, mean" sub={`p50 ${duration(h.execution_time.p50_ms)} · p95 ${duration(h.execution_time.p95_ms)} · p99 ${duration(h.execution_time.p99_ms)}`}>{duration(h.execution_time.average_ms)}</Figure>
            <Figure name="Dead letters" sub={h.oldest_dead_letter_at ? <>oldest <Time at={h.oldest_dead_letter_at} /> · <Link className="link" to="/dead-letters">open the inbox</Link></> : undefined}>{h.dead_letter_depth}</Figure>
            <Figure name="Completed runs" sub={`in ${window}`}>{h.completed_runs}</Figure>
            <Figure name="Open breakers" sub={<Link className="link" to="/providers">providers</Link>}>{h.active_circuit_breakers.length}</Figure>
            <Figure name="Lost tasks" sub={<Link className="link" to="/search" search={{ state: "lost" } as never}>show them</Link>}>{h.lost_tasks}</Figure>
            <Figure name="Ingest lag" sub="from accepted to readable">{duration(h.ingest_lag_ms)}</Figure>
          </div>
          <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mt-2">
            <h2 className="text-base font-semibold">Over time</h2>
            <label className="flex items-center gap-1.5 min-w-0"><span className="label">type</span><select className="field max-w-44" value={type} onChange={(e) => set({ type: e.target.value || undefined })}><option value="">all</option>{type && !names.includes(type) && <option value={type}>{printable(type)}</option>}{names.map((n) => <option key={n} value={n}>{printable(n)}</option>)}</select></label>
            <span className="label">{past.data && <>steps of {duration(past.data.step_ms).replace(/ 0 (s|min)$/, "")}, to <Time at={past.data.to} /></>}</span>
            <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/tasks/monitoring/history", { window, type })}>Copy as curl</Copy></span>
          </div>
          {past.isError && <Failed problem={past.error} again={() => void past.refetch()} />}
          {past.data && <Charts history={past.data} />}
          {past.data && <ByType types={types} window={window} minutes={windows[window] / 60} chosen={type} onChoose={(t) => set({ type: t || undefined })} />}
          <div className="grid md:grid-cols-2 gap-3 items-start">
            <div className="grid grid-cols-[minmax(0,1fr)] gap-3">
              <section className="panel overflow-x-auto" tabIndex={0} aria-label="Queues"><table className="w-full"><caption className="text-left px-3 pt-2 font-medium">Queues</caption><thead><tr>{["Queue", "Pending", "Running", "Retrying", "Oldest"].map((c, i) => <th key={c} scope="col" className={`px-3 py-1 ${i > 0 ? "text-right" : ""}`}>{c}</th>)}</tr></thead>
                <tbody className="rows">{h.queues.map((q) => <tr key={q.queue}><td className="px-3 py-1 id">{printable(q.queue)}</td><td className="px-3 text-right">{q.pending}</td><td className="px-3 text-right">{q.in_progress}</td><td className="px-3 text-right">{q.retrying}</td><td className="px-3 text-right"><Time at={q.oldest_pending_at} /></td></tr>)}</tbody></table>
                {h.queues.length === 0 && <Empty title="No queue holds a task" />}</section>
              <Chart title="Queue depth since this page was opened" times={trail.t} lines={depth} write={count} top={1} lasting={0} />
            </div>
            <Breakers health={h} window={window} />
          </div>
        </div>
      )}
    </>
  );
}
