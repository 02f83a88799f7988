// The money of a task: how much, how loudly its failure calls and why, and the other
// tasks of the same payment.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { getList } from "../../api/client";
import type { Page, Severities, Task } from "../../api/types";
import { duration, printable, word } from "../../ui/format";
import { Empty, Fact, Failed, Loading, Mark } from "../../ui/parts";
import { Time } from "../../ui/prefs";
import { movesMoney, reasoned } from "../../ui/severity";
import { useSeverities } from "../Severity";

// because tells why in the words of the thresholds in force, where the token may read
// them, and else in those of the rule itself.
function because(t: Task, s: Severities | undefined): string {
  if (!s) return movesMoney(t.type) ? "It is a payment or a withdrawal: a failure is high at least, and critical from the threshold of its currency on." : "The amount decides: critical from the threshold of its currency on, else medium.";
  const { severity, text } = reasoned(t, s);
  if (!t.alert_severity) return `No failure of it stands. One would be ${severity}: ${text}`;
  return severity === t.alert_severity ? text : `By the thresholds in force it would be ${severity}: ${text} Its agent judged by its own, or they were changed since.`;
}

function Others({ task: t, reference }: { task: Task; reference: string }) {
  const params = { payment_reference: reference, limit: 20 };
  const q = useQuery({ queryKey: ["task", t.task_id, "payment", reference], queryFn: ({ signal }) => getList<Page<Task>>("/tasks", params, signal) });
  if (q.isError) return <Failed problem={q.error} again={() => void q.refetch()} />;
  if (!q.data) return <Loading />;
  const others = q.data.data.filter((o) => o.task_id !== t.task_id);
  if (!others.length) return <Empty title="No other task of this payment">Only this one carries the reference <span className="id">{printable(reference)}</span>.</Empty>;
  return (
    <>
      <ul className="rows" aria-label="Other tasks of this payment">
        {others.map((o) => (
          <li key={o.task_id} data-other={o.task_id} className="px-3 py-2 grid grid-cols-[1fr_auto] sm:grid-cols-[minmax(0,5fr)_minmax(0,4fr)_auto] gap-x-4 gap-y-0.5">
            <div className="min-w-0"><Link to="/tasks/$id" params={{ id: o.task_id }} search={{ tab: "payment" } as never} data-row className="link id">{printable(o.task_id)}</Link><p className="text-soft truncate">{printable(o.type || "no type")}{o.provider ? ` · ${printable(o.provider)}` : ""}</p></div>
            <p className="row-start-2 sm:row-start-auto"><Mark of={o.state} />{o.failure_reason && <span className="text-soft"> · {word(o.failure_reason)}</span>}<span className="label block"><Time at={o.created_at} />{o.duration_ms ? ` · took ${duration(o.duration_ms)}` : ""}</span></p>
            <p className="text-right font-medium whitespace-nowrap">{o.amount ? `${o.amount} ${o.currency ?? ""}` : ""}</p>
          </li>
        ))}
      </ul>
      {q.data.next_cursor && <p className="px-3 py-2 border-t border-line"><Link className="link" to="/search" search={{ payment_reference: reference } as never}>All of them</Link></p>}
    </>
  );
}

export function Payment({ task: t }: { task: Task }) {
  const reference = t.metadata?.payment_reference;
  const severities = useSeverities();
  if (!t.amount && !reference) return <div className="panel"><Empty title="No amount on this task">Tasks that say an amount and a currency show their payment here.</Empty></div>;
  return (
    <div className="grid md:grid-cols-[minmax(0,5fr)_minmax(0,7fr)] gap-3 items-start">
      <section className="panel px-4 py-4" aria-label="Amount">
        <p className="text-3xl font-semibold break-words">{t.amount ?? "–"} <span className="text-lg font-normal text-soft">{t.currency}</span></p>
        <p className="mt-1"><Mark of={t.state} />{t.failure_reason && <span className="text-soft"> · {word(t.failure_reason)}</span>}</p>
        <div className="mt-4 pt-3 border-t border-line"><p className="label">How loudly a failure calls</p><p>{t.alert_severity ? <Mark of={t.alert_severity} /> : <span className="text-soft">said when it fails</span>}</p><p className="text-soft mt-1">{because(t, severities.data)}{severities.data && <> <Link className="link" to="/settings" search={{ tab: "severity" } as never}>The thresholds</Link></>}</p></div>
        <dl className="grid grid-cols-2 gap-x-6 gap-y-2.5 mt-4 pt-3 border-t border-line"><Fact name="Reference">{reference && <span className="id">{printable(reference)}</span>}</Fact><Fact name="User">{printable(t.user_id ?? "")}</Fact><Fact name="Provider">{printable(t.provider ?? "")}</Fact><Fact name="Type">{printable(t.type ?? "")}</Fact></dl>
      </section>
      <section className="panel overflow-hidden" aria-label="The same payment">
        <h3 className="font-medium px-3 py-2 border-b border-line">Other tasks of this payment</h3>
        {reference ? <Others task={t} reference={reference} /> : <Empty title="No reference">Tasks whose metadata give the same <span className="mono">payment_reference</span> are listed here.</Empty>}
      </section>
    </div>
  );
}
