// What a task is and where it stands: its way through the states, what comes next and
// why, the last error, and its facts.
import { useMemo, type ReactNode } from "react";
import { Link } from "@tanstack/react-router";
import type { DeadLetter, Entry, Task } from "../../api/types";
import { duration, isActive, printable, why } from "../../ui/format";
import { Fact, Mark } from "../../ui/parts";
import { path, short } from "../../ui/path";
import { Time } from "../../ui/prefs";
import { StopProof } from "./StopProof";

function Path({ entries, task }: { entries: Entry[]; task: Task }) {
  const steps = useMemo(() => path(entries, task.state, task.run), [entries, task.state, task.run]);
  const several = task.run > 1;
  return (
    <ol className="flex flex-wrap gap-y-2 items-stretch" aria-label="Path through the states">
      {short(steps).map((s, i, all) => {
        if (typeof s === "number") return <li key="more" className="self-center px-2 text-soft">… {s} more …</li>;
        const before = all[i - 1];
        const took = before && typeof before !== "number" ? Date.parse(s.at) - Date.parse(before.at) : NaN;
        return (
          <li key={i} className="flex items-center">
            {i > 0 && <span className="px-1.5 text-center label min-w-9">{Number.isFinite(took) && <span className="block -mb-1 whitespace-nowrap">{duration(took)}</span>}<span aria-hidden="true" className="block text-soft">⟶</span></span>}
            <span className={`rounded-md border px-2.5 py-1 ${s === steps.at(-1) ? "border-accent bg-sunk font-medium" : "border-line bg-panel"}`}><Mark of={s.state} />{several && (typeof before !== "object" || before.run !== s.run) && <span className="label"> run {s.run}</span>}<span className="label block"><Time at={s.at} /></span></span>
          </li>
        );
      })}
    </ol>
  );
}

const ended: Record<string, string> = {
  exhausted: "every attempt it may have was used", permanent: "the error does not go away by trying again", circuit_open: "the breaker of its provider was open, and nothing waits for a breaker", deadline: "its deadline passed",
  poison: "it took its worker down three times", retry_after_too_long: "the provider asked for a wait that is too long", retry_budget: "the provider's retry budget was empty up to the deadline", lost: "its agent fell silent", cancelled: "an operator cancelled it",
};

// Next is what comes next, and why then.
function Next({ task: t, letter: d }: { task: Task; letter: DeadLetter | undefined }) {
  const says = (sign: string, colour: string, head: ReactNode, body?: ReactNode) => <div className="panel px-3 py-2.5"><p><span aria-hidden="true" className={`inline-block w-5 ${colour}`}>{sign}</span><span className="font-medium">{head}</span></p>{body && <p className="text-soft pl-5">{body}</p>}</div>;
  if (t.state === "pending") return says("○", "text-idle", <>It waits for a worker of {printable(t.queue || "its queue")}</>, <>since <Time at={t.created_at} /></>);
  if (t.state === "retrying" && t.retry_requested_at && !t.waiting) return says("↻", "text-wait", "Its retry waits for an agent to take it", <>accepted <Time at={t.retry_requested_at} />; one that nobody takes is sent again</>);
  if (t.state === "retrying" && t.waiting) return says("↻", "text-wait", <>Attempt {t.waiting.next_attempt}{t.max_attempts ? ` of ${t.max_attempts}` : ""} <Time at={t.next_attempt_at} /></>, <>after a wait of {duration(t.waiting.delay_ms)}. Why then: {why(t.waiting)}</>);
  if (t.state === "lost") return says("?", "text-lost", "Its agent is silent", <>last heard of <Time at={t.updated_at} />; after 15 min it becomes a dead letter</>);
  if (t.state === "failed") {
    const reason = ended[t.failure_reason ?? ""];
    return says("✕", "text-bad", <>No further attempt{reason ? `: ${reason}` : ""}</>, d && <>Its <Link className="link" to="/dead-letters" search={{ task_id: t.task_id, status: "any" } as never}>dead letter</Link> is <Mark of={d.status} />{d.status !== "pending" ? "" : d.auto_recover ? "; it goes back by itself when the breaker closes" : !d.replayable ? `; it cannot be retried: ${printable(d.not_replayable ?? "")}` : "; a retry runs it again"}</>);
  }
  return null;
}

function Facts({ title, children }: { title: string; children: ReactNode }) {
  return <section className="panel px-3 py-3"><h3 className="font-medium mb-2">{title}</h3><dl className="grid grid-cols-2 gap-x-6 gap-y-2.5">{children}</dl></section>;
}

export function Overview({ task: t, entries, letter }: { task: Task; entries: Entry[]; letter: DeadLetter | undefined }) {
  const took = t.duration_ms ?? (t.started_at && t.ended_at ? Date.parse(t.ended_at) - Date.parse(t.started_at) : 0);
  const metadata = Object.entries(t.metadata ?? {});
  return (
    <div className="grid gap-3">
      <Path entries={entries} task={t} />
      {t.progress && isActive(t.state) && <div className="panel px-3 py-2.5"><progress max={1} value={t.progress.fraction} aria-label="Progress" /><p className="label mt-1">{Math.round(t.progress.fraction * 100)} %{t.progress.total ? ` · ${t.progress.done} of ${t.progress.total}` : ""}{t.progress.message ? ` · ${printable(t.progress.message)}` : ""}</p></div>}
      <Next task={t} letter={letter} />
      <StopProof entries={entries} />
      {t.error && (
        <div className="panel px-3 py-2.5"><p className="label">Last error</p><p className="break-words"><span className="text-bad">✕ {printable(t.error.kind ?? "error")}</span> {printable(t.error.message ?? "")}</p>
          <p className="text-soft">{[t.error.class, t.error.code && `code ${t.error.code}`].filter(Boolean).join(" · ")} {t.error.fingerprint && <Link to="/dead-letters" search={{ fingerprint: t.error.fingerprint, status: "any" } as never} className="link id">{t.error.fingerprint}</Link>}</p></div>
      )}
      <div className="grid md:grid-cols-3 gap-3 items-start">
        <Facts title="What">
          <Fact name="Type">{printable(t.type ?? "")}</Fact><Fact name="Queue">{printable(t.queue ?? "")}</Fact>
          <Fact name="Runner">{printable(t.runner ?? "")}</Fact><Fact name="Namespace">{printable(t.namespace)}</Fact>
          <Fact name="Provider">{t.provider ? <Link className="link" to="/providers" search={{ provider: t.provider } as never}>{printable(t.provider)}</Link> : ""}</Fact><Fact name="Breaker">{t.breaker?.state ? <Mark of={t.breaker.state} /> : ""}</Fact>
        </Facts>
        <Facts title="Who and how much">
          <Fact name="User">{t.user_id ? <Link className="link id" to="/search" search={{ user_id: t.user_id } as never}>{printable(t.user_id)}</Link> : ""}</Fact><Fact name="Agent">{printable(t.agent ?? "")}</Fact>
          <Fact name="Amount">{t.amount ? `${t.amount} ${t.currency ?? ""}` : ""}</Fact><Fact name="Severity">{t.alert_severity ? <Mark of={t.alert_severity} /> : ""}</Fact>
          {t.trace_id && <div className="col-span-2"><Fact name="Trace"><span className="id">{t.trace_id}</span></Fact></div>}
        </Facts>
        <Facts title="When">
          <Fact name="Created"><Time at={t.created_at} /></Fact><Fact name="Started"><Time at={t.started_at} /></Fact>
          <Fact name="Ended"><Time at={t.ended_at} /></Fact><Fact name="Took">{took ? duration(took) : ""}</Fact>
          <Fact name="Attempt">{t.attempt}{t.max_attempts ? ` of ${t.max_attempts}` : ""}</Fact><Fact name="Run">{t.run}</Fact>
        </Facts>
      </div>
      {metadata.length > 0 && <section className="panel px-3 py-3"><h3 className="font-medium mb-2">Metadata</h3><dl className="grid grid-cols-2 sm:grid-cols-4 gap-x-6 gap-y-2.5">{metadata.map(([k, v]) => <Fact key={k} name={printable(k)}>{printable(v)}</Fact>)}</dl></section>}
    </div>
  );
}
