import { memo, useEffect, useMemo, useRef, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { asCurl, getList } from "../api/client";
import type { Page, Task } from "../api/types";
import { activeKey, useLive, useRows } from "../live/live";
import { reconcile } from "../live/merge";
import { useActions } from "../ui/actions";
import { duration, isActive, printable, why, word } from "../ui/format";
import { asking } from "../ui/every";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";
import { proof } from "../ui/stop";

// The stream tells what happens; the API is asked now and then whether that is all,
// and more often where the stream is not there.
const everyMs = 20_000;
const aloneMs = 3000;
const steadyMs = 2000; // a task that runs for longer is followed by itself while it is looked at
const maxTasks = 2000;

async function readActive(signal: AbortSignal): Promise<{ rows: Task[]; more: boolean }> {
  const rows: Task[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Task> = await getList<Page<Task>>("/tasks", { active: true, limit: 200, cursor: cursor ?? undefined }, signal);
    rows.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && rows.length < maxTasks);
  return { rows, more: cursor !== null };
}
const slowAfterMs = 60_000; // progress older than this is said to stand still

function Progress({ task }: { task: Task }) {
  const { now } = usePrefs();
  const p = task.progress;
  if (!p) return null;
  const age = p.at ? now - Date.parse(p.at) : 0;
  const begun = task.started_at ? Date.parse(task.started_at) : NaN;
  const left = p.fraction > 0.02 && p.fraction < 1 && p.at && !Number.isNaN(begun) ? ((Date.parse(p.at) - begun) / p.fraction) * (1 - p.fraction) : NaN;
  return (
    <div className="mt-1 max-w-md">
      <progress max={1} value={p.fraction} aria-label={`Progress of ${printable(task.task_id)}`} />
      <p className="label mt-0.5">
        {Math.round(p.fraction * 100)} %{p.message ? ` · ${printable(p.message)}` : ""}{Number.isFinite(left) ? ` · about ${duration(left)} left` : ""}
        {age > slowAfterMs && <span className="text-wait"> · ! has not moved for {duration(age)}</span>}
      </p>
    </div>
  );
}

function Waiting({ task }: { task: Task }) {
  if (task.cancel_ignored_at) return <p className="text-wait">! not stopped: cancel asked for <Time at={task.cancel_requested_at} />, {proof("ignored")}</p>;
  if (task.cancel_requested_at) return <p className="text-wait">⊘ cancel asked for <Time at={task.cancel_requested_at} />, not stopped yet</p>;
  if (task.state === "pending") return <p className="text-soft">waits for a worker of {printable(task.queue || "its queue")}, created <Time at={task.created_at} /></p>;
  if (task.state === "retrying" && task.waiting) return <p className="text-soft">attempt {task.waiting.next_attempt} <Time at={task.next_attempt_at} /> <span className="label">{why(task.waiting)}</span></p>;
  if (task.state === "lost") return <p className="text-lost">its agent is silent since <Time at={task.updated_at} /></p>;
  return <p className="text-soft">started <Time at={task.started_at ?? task.created_at} /> · last sign <Time at={task.progress?.at ?? task.updated_at} /></p>;
}

// Row is drawn again only where its task changes, and its times each second.
const Row = memo(function Row({ task: t, cancel }: { task: Task; cancel: ((id: string) => void) | undefined }) {
  return (
    <>
      <div className="min-w-0">
        <Link to="/tasks/$id" params={{ id: t.task_id }} data-row className="link id">{printable(t.task_id)}</Link>
        <p className="text-soft truncate">{printable(t.type || "no type")} · {printable(t.queue || "no queue")}{t.agent ? ` · ${printable(t.agent)}` : ""}{t.amount ? ` · ${t.amount} ${t.currency ?? ""}` : ""}</p>
      </div>
      <div className="min-w-0 col-span-2 sm:col-span-1 row-start-2 sm:row-start-auto">
        <p><Mark of={t.state} /><span className="text-soft"> · {t.attempt ? `attempt ${t.attempt}${t.max_attempts ? ` of ${t.max_attempts}` : ""}` : "no attempt yet"}{t.run > 1 ? ` · run ${t.run}` : ""}</span>
          {t.breaker && t.breaker.state !== "closed" && <span className="text-wait"> · breaker {word(t.breaker.state)}</span>}</p>
        <Progress task={t} />
        {isActive(t.state) && <Waiting task={t} />}
      </div>
      <div className="justify-self-end">{cancel && isActive(t.state) && <button className="btn" disabled={!!t.cancel_requested_at} onClick={() => cancel(t.task_id)} aria-label={`Cancel ${printable(t.task_id)}`}>Cancel</button>}</div>
    </>
  );
});

export function Active() {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const { now } = usePrefs();
  const { status } = useLive();
  const [more, setMore] = useState(false);
  const { may } = useMe();
  const { ask, ui } = useActions();
  const client = useQueryClient();
  const list = useRef<HTMLDivElement>(null);
  const asks = useRef(ask);
  asks.current = ask;
  const operate = may.operate;
  const cancel = useMemo(() => (operate ? (id: string) => asks.current({ verb: "cancel", taskId: id }) : undefined), [operate]);
  const query = useQuery({ queryKey: activeKey, staleTime: Infinity, queryFn: async ({ signal }) => {
    const answer = await readActive(signal);
    setMore(answer.more);
    const old = client.getQueryData<Task[]>(activeKey) ?? [];
    // Nothing moves under an open question.
    return asking() ? old : reconcile(old, answer.rows, Date.now());
  } });
  const refetch = query.refetch;
  useEffect(() => {
    // A clock of its own: whatever the stream puts into the cache would begin the
    // query's interval anew.
    const t = setInterval(() => !document.hidden && !asking() && void refetch({ cancelRefetch: false }), status === "live" ? everyMs : aloneMs);
    return () => clearInterval(t);
  }, [refetch, status]);
  const rows = useMemo(() => {
    const text = (search.q ?? "").toLowerCase();
    return (query.data ?? []).filter((t) => (!search.state || t.state === search.state) && (!text || `${t.task_id} ${t.type} ${t.queue} ${t.agent} ${t.user_id}`.toLowerCase().includes(text)));
  }, [query.data, search.q, search.state]);
  const counts = useMemo(() => {
    const c: Record<string, number> = {};
    for (const t of query.data ?? []) c[t.state] = (c[t.state] ?? 0) + 1;
    return c;
  }, [query.data]);
  const v = useWindowVirtualizer({ count: rows.length, estimateSize: () => 74, overscan: 8, scrollMargin: list.current?.offsetTop ?? 0, getItemKey: (i) => rows[i]?.task_id ?? i });
  useRows(v.getVirtualItems().map((i) => rows[i.index]).filter((t): t is Task => !!t && (t.state === "in_progress" || t.state === "retrying") && now - Date.parse(t.started_at ?? t.created_at) > steadyMs).map((t) => t.task_id));
  const set = (s: Record<string, string | undefined>) => void navigate({ to: "/tasks", search: { ...search, ...s } as never, replace: true });
  return (
    <>
      <div className="flex flex-wrap items-baseline gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">Active tasks</h1>
        <div className="flex flex-wrap gap-1.5" role="group" aria-label="State">
          {["", "in_progress", "retrying", "pending", "lost"].map((s) => (
            <button key={s} className={`btn ${(search.state ?? "") === s ? "border-accent bg-sunk" : ""}`} aria-pressed={(search.state ?? "") === s} onClick={() => set({ state: s || undefined })}>
              {s ? <><Mark of={s} /> {counts[s] ?? 0}</> : `all ${query.data?.length ?? 0}`}
            </button>
          ))}
        </div>
        <input className="field grow sm:max-w-xs" type="search" data-search placeholder="Filter by id, type, queue…" aria-label="Filter" value={search.q ?? ""} onChange={(e) => set({ q: e.target.value || undefined })} />
        <span className="ml-auto hidden sm:inline"><Copy text={asCurl("/tasks", { active: true })}>Copy as curl</Copy></span>
      </div>
      {ui}
      {more && <p className="text-wait mb-2">! More tasks are active than are shown: the newest {maxTasks}.</p>}
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : rows.length === 0 ? (
        <div className="panel"><Empty title={query.data.length ? "No active task fits the filter" : "Nothing is waiting or running"}>{query.data.length ? <button className="link" onClick={() => set({ q: undefined, state: undefined })}>Clear the filter</button> : "New tasks appear here by themselves."}</Empty></div>
      ) : (
        <div ref={list} className="panel" role="list" aria-label="Active tasks" style={{ position: "relative", height: v.getTotalSize() }}>
          {v.getVirtualItems().map((item) => {
            const t = rows[item.index]!;
            return (
              <div key={item.key} role="listitem" ref={v.measureElement} data-index={item.index} data-task={t.task_id} className={`absolute inset-x-0 top-0 px-3 py-2 grid grid-cols-[1fr_auto] sm:grid-cols-[minmax(0,5fr)_minmax(0,6fr)_5rem] gap-x-4 gap-y-1 ${item.index ? "border-t border-line" : ""}`} style={{ transform: `translateY(${item.start - v.options.scrollMargin}px)` }}>
                <Row task={t} cancel={cancel} />
              </div>
            );
          })}
        </div>
      )}
    </>
  );
}
