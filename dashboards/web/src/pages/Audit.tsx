// Who changed what, and what was refused.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { asCurl, getList, Problem } from "../api/client";
import type { AuditRecord, Page } from "../api/types";
import { useAddress } from "../ui/address";
import { ChoiceFilter, TextFilter, TimeFilter } from "../ui/Filters";
import { printable, word } from "../ui/format";
import { Copy, Empty, Failed, Loading, Pager } from "../ui/parts";
import { Time } from "../ui/prefs";
import { csv, download } from "../ui/table";

const names = ["actor", "action", "target", "result", "from", "to"] as const;
const labels = { actor: "who", action: "what", target: "to what", result: "came to", from: "from", to: "until" };
const refusals = ["forbidden", "namespace_forbidden", "not_found", "invalid_body", "invalid_parameter", "task_running", "dead_letter_not_pending", "unavailable", "internal"];
const columns = ["at", "actor", "user_id", "action", "target", "result", "status", "reason", "details", "remote", "request_id", "id"];

// said is a call in words, where it is one of those that are made every day.
const calls: Record<string, string> = {
  "POST /tasks/:id/retry": "retried", "POST /tasks/:id/cancel": "cancelled", "POST /failed-tasks/:id/retry": "retried the dead letter", "POST /failed-tasks/:id/discard": "discarded the dead letter",
  "POST /failed-tasks/bulk-retry": "began a bulk retry", "POST /failed-tasks/bulk-discard": "began a bulk discard", "POST /bulk/:id/pause": "paused the bulk action", "POST /bulk/:id/resume": "resumed the bulk action", "POST /bulk/:id/abort": "aborted the bulk action",
  "POST /errors/:fingerprint/resolve": "resolved the error", "POST /errors/:fingerprint/ignore": "ignored the error", "POST /errors/:fingerprint/reopen": "reopened the error", "POST /alerts/:id/acknowledge": "acknowledged the alert",
  "POST /silences": "made a silence", "PUT /silences/:id": "changed the silence", "DELETE /silences/:id": "expired the silence", "PUT /channels/:name": "set the channel", "DELETE /channels/:name": "removed the channel", "POST /channels/:name/test": "tested the channel",
  "POST /channels/:name/deliveries/:id/resend": "sent again the delivery", "POST /rules/try": "tried a rule", "PUT /rules/:name": "set the rule", "DELETE /rules/:name": "removed the rule", "PUT /requeue-urls/:queue": "set the re-enqueue URL", "DELETE /requeue-urls/:queue": "removed the re-enqueue URL",
  "POST /keys": "made a key", "DELETE /keys/:id": "revoked the key", "POST /session": "signed in", "DELETE /session": "signed out",
};
const said = (action: string) => calls[action] ?? printable(action);

// Where a record's target has a page of its own.
function Target({ of: r }: { of: AuditRecord }) {
  if (!r.target) return null;
  if (/ \/tasks\/:/.test(r.action)) return <Link className="link id" to="/tasks/$id" params={{ id: r.target }}>{printable(r.target)}</Link>;
  return <span className="id">{printable(r.target)}</span>;
}

function Row({ record: r }: { record: AuditRecord }) {
  const details = Object.entries(r.details ?? {});
  return (
    <li data-audit={r.id} className="px-3 py-2 grid sm:grid-cols-[8rem_minmax(0,1fr)_10rem] gap-x-4 gap-y-0.5">
      <p className="text-soft"><Time at={r.at} exact /></p>
      <div className="min-w-0">
        <p className="break-words"><span className="font-medium">{said(r.action)}</span> <Target of={r} /></p>
        {r.reason && <p className="break-words">“{printable(r.reason)}”</p>}
        <p className="text-soft break-words">by <span className="id">{printable(r.actor)}</span>{r.user_id && <> for the user {printable(r.user_id)}</>}{r.remote && <> from <span className="id">{printable(r.remote)}</span></>} · <span className="mono">{printable(r.action)}</span> · request <span className="id">{printable(r.request_id)}</span></p>
        {details.length > 0 && <p className="label break-words">{details.map(([k, v]) => `${word(k)}: ${printable(v)}`).join(" · ")}</p>}
      </div>
      <p className="sm:text-right"><span className={r.result === "accepted" ? "text-good" : "text-bad"}><span aria-hidden="true">{r.result === "accepted" ? "✓ " : "✕ "}</span>{word(r.result)}</span> <span className="label">{r.status}</span></p>
    </li>
  );
}

export function Audit() {
  const [search, set] = useAddress();
  const params = { ...Object.fromEntries(names.map((n) => [n, search[n]])), limit: 50, cursor: search.cursor };
  const query = useQuery({ queryKey: ["audit", params], queryFn: ({ signal }) => getList<Page<AuditRecord>>("/audit", params, signal), placeholderData: (old) => old });
  const rows = query.data?.data ?? [];
  const fault = query.error instanceof Problem ? query.error : undefined;
  const common = (n: (typeof names)[number]) => ({ label: labels[n], value: search[n], wrong: fault?.field === n ? fault.detail || fault.message : undefined, onSet: (v: string | undefined) => set({ [n]: v }) });
  const of = (f: (r: AuditRecord) => string | undefined) => [...new Set(rows.map(f).filter((v): v is string => !!v))].sort();
  const filtered = names.some((n) => search[n]);
  return (
    <>
      <div className="grid grid-cols-2 sm:grid-cols-3 lg:grid-cols-6 gap-2 mb-3">
        <TextFilter {...common("actor")} suggest={of((r) => r.actor)} search />
        <TextFilter {...common("action")} suggest={of((r) => r.action)} placeholder="POST /tasks/:id/retry" />
        <TextFilter {...common("target")} suggest={of((r) => r.target)} />
        <ChoiceFilter {...common("result")} options={["accepted", ...refusals].map((r) => [r, word(r)] as const)} />
        <TimeFilter {...common("from")} /><TimeFilter {...common("to")} />
      </div>
      <div className="flex flex-wrap items-center gap-1.5 mb-2">
        {filtered && <button className="link" onClick={() => set(Object.fromEntries(names.map((n) => [n, undefined])))}>Clear the filter</button>}
        <span className="ml-auto flex flex-wrap gap-1.5">
          <button className="btn" onClick={() => void query.refetch()}>Read again</button>
          <button className="btn" disabled={!rows.length} onClick={() => download("audit.csv", "text/csv;charset=utf-8", csv(columns, rows))}>CSV</button>
          <button className="btn" disabled={!rows.length} onClick={() => download("audit.json", "application/json", JSON.stringify(rows, null, 2))}>JSON</button>
          <Copy text={asCurl("/audit", params)}>Copy as curl</Copy>
        </span>
      </div>
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : rows.length === 0 ? (
        <div className="panel"><Empty title={filtered ? "No record fits the filter" : "Nothing was changed yet"}>Every call that changes something is put on record here, also one that was refused.</Empty></div>
      ) : <ul className="panel rows" aria-label="Audit trail" aria-busy={query.isPlaceholderData}>{rows.map((r) => <Row key={r.id} record={r} />)}</ul>}
      <Pager page={query.data} go={(cursor) => set({ cursor }, { push: true })} />
    </>
  );
}
