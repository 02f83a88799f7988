import { useEffect, useState, type ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { asCurl, get } from "../api/client";
import type { Health as HealthRow } from "../api/types";
import { Chart } from "../ui/Chart";
import { duration, printable, word } from "../ui/format";
import { useEvery } from "../ui/every";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";

function Figure({ name, children, sub }: { name: string; children: ReactNode; sub?: ReactNode }) {
  return <div className="panel px-3 py-2"><p className="label">{name}</p><p className="text-xl font-semibold">{children}</p><p className="label">{sub ?? "\u00a0"}</p></div>;
}

const everyMs = 5000;
type Trail = { t: number[]; depth: number[]; failed: number[] };

export function Health() {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const window = search.window ?? "1h";
  const query = useQuery({ queryKey: ["health", window], queryFn: ({ signal }) => get<HealthRow>("/tasks/monitoring/health", { window }, signal) });
  useEvery(everyMs, query.refetch);
  const [trail, setTrail] = useState<Trail>({ t: [], depth: [], failed: [] });
  const h = query.data;
  useEffect(() => {
    if (!h) return;
    setTrail((old) => old.t.at(-1) === Date.parse(h.generated_at) / 1000 ? old : {
      t: [...old.t, Date.parse(h.generated_at) / 1000].slice(-360), depth: [...old.depth, h.queue_depth].slice(-360), failed: [...old.failed, Math.round(h.failure_rate * 1000) / 10].slice(-360),
    });
  }, [h]);
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">Health</h1>
        <label className="flex items-center gap-1.5"><span className="label">looking back</span><select className="field" value={window} onChange={(e) => void navigate({ to: "/health", search: { ...search, window: e.target.value } as never, replace: true })}>{["15m", "1h", "6h", "24h", "7d"].map((w) => <option key={w}>{w}</option>)}</select></label>
        {h && <span className="label">as of <Time at={h.generated_at} /></span>}
        <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/tasks/monitoring/health", { window })}>Copy as curl</Copy></span>
      </div>
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!h ? !query.isError && <Loading /> : (
        <div className="grid gap-3">
          {h.stale && <p className="text-wait">! {printable(h.stale)}</p>}
          {h.omitted && <p className="text-soft">Not shown to this token: {h.omitted.map(word).join(", ")}.</p>}
          <div className="grid grid-cols-2 md:grid-cols-4 gap-3">
            <Figure name="Queue depth" sub={`${h.tasks.pending ?? 0} pending, ${h.tasks.in_progress ?? 0} in progress, ${h.tasks.retrying ?? 0} retrying`}>{h.queue_depth}</Figure>
            <Figure name="Failure rate" sub={`${h.failed_runs} of ${h.failed_runs + h.completed_runs} runs`}>{(h.failure_rate * 100).toFixed(1)} %</Figure>
            <Figure name="Execution time, mean" sub={`p50 ${duration(h.execution_time.p50_ms)} · p95 ${duration(h.execution_time.p95_ms)} · p99 ${duration(h.execution_time.p99_ms)}`}>{duration(h.execution_time.average_ms)}</Figure>
            <Figure name="Dead letters" sub={h.oldest_dead_letter_at ? <>oldest <Time at={h.oldest_dead_letter_at} /> · <Link className="link" to="/dead-letters">open the inbox</Link></> : undefined}>{h.dead_letter_depth}</Figure>
            <Figure name="Open breakers">{h.active_circuit_breakers.length}</Figure>
            <Figure name="Lost tasks">{h.lost_tasks}</Figure>
            <Figure name="Ingest lag">{duration(h.ingest_lag_ms)}</Figure>
            <Figure name="Completed runs">{h.completed_runs}</Figure>
          </div>
          <div className="grid md:grid-cols-2 gap-3">
            <Chart title="Queue depth since this page was opened:" times={trail.t} values={trail.depth} unit="tasks" />
            <Chart title="Failure rate since this page was opened:" times={trail.t} values={trail.failed} unit="%" />
          </div>
          <div className="grid md:grid-cols-2 gap-3 items-start">
            <section className="panel overflow-x-auto" tabIndex={0} aria-label="Queues"><table className="w-full"><caption className="text-left px-3 pt-2 font-medium">Queues</caption><thead><tr>{["Queue", "Pending", "Running", "Retrying", "Oldest"].map((c) => <th key={c} scope="col" className="px-3 py-1">{c}</th>)}</tr></thead>
              <tbody className="rows">{h.queues.map((q) => <tr key={q.queue}><td className="px-3 py-1 id">{printable(q.queue)}</td><td className="px-3">{q.pending}</td><td className="px-3">{q.in_progress}</td><td className="px-3">{q.retrying}</td><td className="px-3"><Time at={q.oldest_pending_at} /></td></tr>)}</tbody></table>
              {h.queues.length === 0 && <Empty title="No queue holds a task" />}</section>
            <section className="panel" aria-label="Circuit breakers"><h2 className="px-3 pt-2 font-medium">Circuit breakers</h2>
              {h.active_circuit_breakers.length === 0 ? <Empty title="All are closed" /> : <ul className="rows">{h.active_circuit_breakers.map((b) => <li key={`${b.provider}${b.source_id}`} className="px-3 py-2"><p><span className="font-medium">{printable(b.provider)}</span> <Mark of={b.state} /> <span className="text-soft">since <Time at={b.since} />{b.open_until && <>, probes <Time at={b.open_until} /></>}</span></p><p className="text-soft">{word(b.why)}{b.calls ? `: ${b.failures ?? 0} of ${b.calls} calls failed` : ""}</p></li>)}</ul>}</section>
          </div>
        </div>
      )}
    </>
  );
}
