import * as Tabs from "@radix-ui/react-tabs";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { asCurl, get, getList, taskPath } from "../api/client";
import { readTimeline, type Known } from "../api/timeline";
import type { Attempt, Entry, Page, State, Task as TaskRow, TimelineEvent } from "../api/types";
import { useActions } from "../ui/actions";
import { useEvery } from "../ui/every";
import { duration, isActive, printable, why, word } from "../ui/format";
import { Copy, Empty, Fact, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { Attempts } from "./Attempts";
import { Timeline } from "./Timeline";

// The state an event leaves its task in, for the path that is lit.
const leads: Partial<Record<Entry["type"], State>> = {
  task_created: "pending", attempt_started: "in_progress", task_retried: "retrying", dlq_retry_requested: "retrying", task_completed: "completed", task_failed: "failed", task_cancelled: "cancelled", task_lost: "lost",
};

function Path({ entries, now }: { entries: Entry[]; now: State }) {
  const steps: { state: State; at: string }[] = [];
  for (const e of entries) {
    const s = leads[e.type];
    if (s && steps.at(-1)?.state !== s) steps.push({ state: s, at: e.occurred_at });
  }
  if (steps.at(-1)?.state !== now) steps.push({ state: now, at: entries.at(-1)?.occurred_at ?? "" });
  const shown = steps.length > 9 ? [...steps.slice(0, 3), null, ...steps.slice(-5)] : steps;
  return (
    <ol className="flex flex-wrap gap-y-2 items-stretch" aria-label="Path through the states">
      {shown.map((s, i) => s === null ? <li key="more" className="self-center px-2 text-soft">… {steps.length - 8} more …</li> : (
        <li key={i} className="flex items-center">
          {i > 0 && <span aria-hidden="true" className="w-6 border-t-2 border-line mx-1" />}
          <span className={`rounded-md border px-2.5 py-1 ${s === steps.at(-1) ? "border-accent bg-sunk font-medium" : "border-line"}`}><Mark of={s.state} /><span className="label block"><Time at={s.at} /></span></span>
        </li>
      ))}
    </ol>
  );
}

function Payload({ name, value, omitted }: { name: "input" | "output"; value: unknown; omitted: boolean }) {
  const text = value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const shown = text.length > 200_000 ? text.slice(0, 200_000) : text;
  return (
    <section className="mb-4">
      <div className="flex items-baseline gap-3 mb-1"><h3 className="font-medium capitalize">{name}</h3>{text && <span className="label">{text.length} characters{/\[redacted\]/i.test(text) ? " · parts are redacted" : ""}</span>}{text && <span className="ml-auto"><Copy text={text}>Copy {name}</Copy></span>}</div>
      {omitted ? <p className="text-wait">! There is an {name}, and this token may not see it: it needs the scope read:payload.</p> : text ? <><pre className="code" tabIndex={0} aria-label={name}>{shown}</pre>{shown.length < text.length && <p className="text-wait">! Only the first 200 000 of {text.length} characters are shown; copying takes all.</p>}</> : <p className="text-soft">None on record.</p>}
    </section>
  );
}

function Overview({ task, entries }: { task: TaskRow; entries: Entry[] }) {
  return (
    <div className="grid gap-4">
      <Path entries={entries} now={task.state} />
      {task.progress && isActive(task.state) && <div className="max-w-lg"><progress max={1} value={task.progress.fraction} aria-label="Progress" /><p className="label mt-0.5">{Math.round(task.progress.fraction * 100)} % {printable(task.progress.message ?? "")}</p></div>}
      {task.state === "retrying" && task.waiting && <p className="panel px-3 py-2"><span className="text-wait">↻ Attempt {task.waiting.next_attempt}</span> <Time at={task.next_attempt_at} />, after a wait of {duration(task.waiting.delay_ms)}: {why(task.waiting)}.</p>}
      {task.cancel_requested_at && <p className="panel px-3 py-2 text-wait">⊘ Cancel asked for <Time at={task.cancel_requested_at} />. It has not stopped yet.</p>}
      {task.error && (
        <div className="panel px-3 py-2"><p className="label">Last error</p><p><span className="text-bad">✕ {printable(task.error.kind ?? "error")}</span> {printable(task.error.message ?? "")}</p>
          <p className="text-soft">{[task.error.class, task.error.code && `code ${task.error.code}`].filter(Boolean).join(" · ")} {task.error.fingerprint && <Link to="/dead-letters" search={{ fingerprint: task.error.fingerprint, status: "any" } as never} className="link id">{task.error.fingerprint}</Link>}</p></div>
      )}
      <dl className="panel px-3 py-3 grid grid-cols-2 sm:grid-cols-4 gap-x-6 gap-y-3">
        <Fact name="Type">{task.type}</Fact><Fact name="Queue">{task.queue}</Fact><Fact name="Agent">{task.agent}</Fact><Fact name="Runner">{task.runner}</Fact>
        <Fact name="User">{task.user_id}</Fact><Fact name="Provider">{printable(task.provider ?? "")}{task.breaker ? <> · breaker <Mark of={task.breaker.state} /></> : null}</Fact>
        <Fact name="Amount">{task.amount ? `${task.amount} ${task.currency ?? ""}` : ""}</Fact><Fact name="Namespace">{task.namespace}</Fact>
        <Fact name="Attempt">{task.attempt}{task.max_attempts ? ` of ${task.max_attempts}` : ""}, run {task.run}</Fact><Fact name="Created"><Time at={task.created_at} /></Fact><Fact name="Ended"><Time at={task.ended_at} /></Fact><Fact name="Took">{task.duration_ms ? duration(task.duration_ms) : ""}</Fact>
        {task.trace_id && <Fact name="Trace"><span className="id">{task.trace_id}</span></Fact>}
        {Object.entries(task.metadata ?? {}).map(([k, val]) => <Fact key={k} name={printable(k)}>{printable(val)}</Fact>)}
      </dl>
    </div>
  );
}

function Payment({ task }: { task: TaskRow }) {
  if (!task.amount) return <div className="panel"><Empty title="No amount on this task">Tasks that say an amount and a currency show their payment here.</Empty></div>;
  const money = /(^|_)(payment|withdrawal)$|^(payment|withdrawal)[_.]/.test(task.type ?? "");
  return (
    <dl className="panel px-3 py-3 grid sm:grid-cols-2 gap-4">
      <Fact name="Amount"><span className="text-lg">{task.amount} {task.currency}</span></Fact>
      <Fact name="Severity of a failure">{task.alert_severity ? <Mark of={task.alert_severity} /> : "said when it fails"}</Fact>
      <Fact name="Why">{task.alert_severity === "critical" ? "The amount reaches the threshold of its currency (100 USD where nothing else is set)." : task.alert_severity === "high" ? "It moves money: its type is a payment or a withdrawal, below the threshold." : money ? "It is a payment or a withdrawal: high at least, critical from the threshold of its currency on." : "The amount decides: critical from the threshold of its currency on."}</Fact>
      <Fact name="Reference">{task.metadata?.payment_reference}</Fact><Fact name="User">{task.user_id}</Fact><Fact name="Provider">{task.provider}</Fact>
    </dl>
  );
}

const tabs = [["overview", "Overview"], ["timeline", "Timeline"], ["attempts", "Attempts"], ["payloads", "Input/Output"], ["payment", "Payment"]] as const;
const marked = new Set(["circuit_breaker_opened", "circuit_breaker_half_opened", "circuit_breaker_closed", "cancel_requested", "cancel_ignored", "dlq_retry_requested"]);

const none: Entry[] = [];
const netMs = 10_000; // a task that goes on is read anew, should the stream have told too little

export function Task() {
  const { id } = useParams({ strict: false }) as { id: string };
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const { ask, ui } = useActions();
  const client = useQueryClient();
  const tab = tabs.some(([t]) => t === search.tab) ? search.tab! : "overview";
  const path = taskPath(id);
  const task = useQuery({ queryKey: ["task", id, "folded"], queryFn: ({ signal }) => get<TaskRow>(path, {}, signal) });
  const timeline = useQuery({ queryKey: ["task", id, "timeline"], queryFn: ({ signal }) => readTimeline(id, client.getQueryData<Known>(["task", id, "timeline"]), signal), structuralSharing: false, enabled: task.isSuccess });
  useEvery(netMs, (o) => task.data && isActive(task.data.state) && (void task.refetch(o), void timeline.refetch(o)));
  const attempts = useQuery({ queryKey: ["task", id, "attempts"], queryFn: ({ signal }) => getList<Page<Attempt>>(`${path}/attempts`, {}, signal), enabled: task.isSuccess && tab === "attempts" });
  if (task.isPending) return <Loading />;
  if (task.isError && !task.data) return <><Failed problem={task.error} again={() => void task.refetch()} /><p className="mt-3"><Link className="link" to="/tasks">All active tasks</Link></p></>;
  const t = task.data;
  const entries = timeline.data?.entries ?? none;
  return (
    <>
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2 mb-3">
        <div className="min-w-0"><h1 className="text-lg font-semibold id !text-[15px]">{printable(t.task_id)}</h1>
          <p><Mark of={t.state} /> {t.failure_reason && <span>· {word(t.failure_reason)}</span>} {t.alert_severity && <>· <Mark of={t.alert_severity} /></>} <span className="text-soft">· changed <Time at={t.updated_at} /></span></p></div>
        <div className="sm:ml-auto flex flex-wrap gap-1.5">
          {(t.state === "failed" || t.state === "cancelled") && <button className="btn btn-main" onClick={() => ask({ verb: "retry", taskId: id })}>Retry</button>}
          {isActive(t.state) && <button className="btn" disabled={!!t.cancel_requested_at} onClick={() => ask({ verb: "cancel", taskId: id })}>Cancel</button>}
          {t.state === "failed" && t.dead_letter_id && <button className="btn" onClick={() => ask({ verb: "discard", taskId: id, letterId: t.dead_letter_id })}>Discard</button>}
          <Copy text={asCurl(`${path}/timeline`)}>Copy as curl</Copy>
        </div>
      </div>
      {ui}
      {task.isError && <div className="mb-3"><Failed problem={task.error} again={() => void task.refetch()} /></div>}
      <Tabs.Root value={tab} onValueChange={(v) => void navigate({ to: ".", search: { ns: search.ns, tab: v } as never, replace: true })}>
        <Tabs.List className="border-b border-line mb-3 overflow-x-auto whitespace-nowrap" aria-label="Views of the task">
          {tabs.map(([v, name]) => <Tabs.Trigger key={v} value={v} className="tab">{name}</Tabs.Trigger>)}
        </Tabs.List>
        <Tabs.Content value="overview"><Overview task={t} entries={entries} /></Tabs.Content>
        <Tabs.Content value="timeline">{timeline.isError ? <Failed problem={timeline.error} again={() => void timeline.refetch()} /> : timeline.data ? <Timeline entries={entries} /> : <Loading />}</Tabs.Content>
        <Tabs.Content value="attempts">{attempts.isError ? <Failed problem={attempts.error} again={() => void attempts.refetch()} /> : attempts.data ? <Attempts attempts={attempts.data.data} marks={entries.filter((e): e is TimelineEvent => marked.has(e.type))} /> : <Loading />}</Tabs.Content>
        <Tabs.Content value="payloads"><Payload name="input" value={t.input} omitted={!!t.omitted?.includes("input")} /><Payload name="output" value={t.output} omitted={!!t.omitted?.includes("output")} /></Tabs.Content>
        <Tabs.Content value="payment"><Payment task={t} /></Tabs.Content>
      </Tabs.Root>
    </>
  );
}
