import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { asCurl, getList, Send } from "../api/client";
import type { ErrorGroup, Page } from "../api/types";
import { useEvery } from "../ui/every";
import { printable } from "../ui/format";
import { useMe } from "../ui/me";
import { Ask, Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { Spark } from "../ui/Spark";

type Verb = "resolve" | "ignore" | "reopen";
const verbs: Record<Verb, { title: string; action: string; done: string; body: string }> = {
  resolve: { title: "Is this error mended?", action: "Resolve", done: "Resolved", body: "Should it be seen again, it shows as regressed." },
  ignore: { title: "Ignore this error?", action: "Ignore", done: "Ignored", body: "It leaves the list of open errors, and stays out of it. Its tasks and dead letters stay as they are." },
  reopen: { title: "Open this error again?", action: "Reopen", done: "Open again", body: "What was decided about it is taken back." },
};
const offers: Record<ErrorGroup["status"], Verb[]> = { open: ["resolve", "ignore"], regressed: ["resolve", "ignore"], resolved: ["reopen"], ignored: ["reopen"] };
const spans: Record<string, number> = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 };

export function Errors() {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const navigate = useNavigate();
  const client = useQueryClient();
  const { may } = useMe();
  const status = search.status ?? "open,regressed";
  const span = spans[search.window ?? ""] ? search.window! : "24h";
  const params = { limit: 100, cursor: search.cursor, status: status === "any" ? undefined : status };
  // The cursor is bound to the filter, so a page that is turned keeps its beginning.
  const query = useQuery({ queryKey: ["errors", params, span, search.from], queryFn: ({ signal }) => getList<Page<ErrorGroup> & { from: string }>("/errors", { ...params, from: from() }, signal), placeholderData: (old) => old });
  useEvery(15_000, query.refetch);
  const from = () => search.from ?? new Date(Date.now() - spans[span]!).toISOString();
  const set = (s: Record<string, string | undefined>) => void navigate({ to: "/errors", search: { ...search, cursor: undefined, from: undefined, ...s } as never, replace: true });
  const [wish, setWish] = useState<{ verb: Verb; group: ErrorGroup; send: Send } | null>(null);
  const [said, setSaid] = useState("");
  const decide = useMutation({
    mutationFn: ({ reason }: { reason: string }) => wish!.send.post<unknown>(`/errors/${encodeURIComponent(wish!.group.fingerprint)}/${wish!.verb}`, reason ? { reason } : {}),
    onSuccess: () => {
      setSaid(`${verbs[wish!.verb].done}: ${printable(wish!.group.sample.message ?? wish!.group.fingerprint)}`);
      setWish(null);
      void client.invalidateQueries({ queryKey: ["errors"] });
    },
  });
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3"><h1 className="text-lg font-semibold">Errors</h1>
        <label className="flex items-center gap-1.5"><span className="label">status</span><select className="field" value={status} onChange={(e) => set({ status: e.target.value === "open,regressed" ? undefined : e.target.value })}><option value="open,regressed">open and regressed</option><option value="resolved">resolved</option><option value="ignored">ignored</option><option value="any">any</option></select></label>
        <label className="flex items-center gap-1.5"><span className="label">seen within</span><select className="field" value={span} onChange={(e) => set({ window: e.target.value === "24h" ? undefined : e.target.value })}>{Object.keys(spans).map((s) => <option key={s}>{s}</option>)}</select></label>
        <span className="label">failures that are the same but for their values, last seen first</span><span className="ml-auto hidden sm:inline"><Copy text={asCurl("/errors", params)}>Copy as curl</Copy></span></div>
      <p role="status" className={said ? "panel px-3 py-1.5 mb-3" : "sr-only"}>{said && <><span aria-hidden="true" className="text-good">✓ </span>{said}</>}</p>
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : query.data.data.length === 0 ? <div className="panel"><Empty title={`No ${status === "any" ? "failure" : status.replace(",", " or ") + " failure"} on record within ${span}`}>{(status !== "any" || span !== "30d") && <button className="link" onClick={() => set({ status: "any", window: "30d" })}>Show all of 30 days</button>}</Empty></div> : (
        <ul className="panel rows">{query.data.data.map((g) => (
          <li key={g.fingerprint} data-group={g.fingerprint} className="px-3 py-2 grid sm:grid-cols-[minmax(0,1fr)_11rem_17rem] gap-x-4 gap-y-1">
            <div className="min-w-0"><p className="break-words"><span className="text-bad">✕ {printable(g.sample.kind ?? "error")}</span> {printable(g.sample.message ?? "")}</p>
              <p className="text-soft break-words"><Mark of={g.status} />{g.decision?.by ? ` by ${printable(g.decision.by)}` : ""}{g.decision?.reason ? `: ${printable(g.decision.reason)}` : ""} · {g.types.map(printable).join(", ")} · {g.queues.map(printable).join(", ")} · for example <Link to="/tasks/$id" params={{ id: g.sample_task_id }} data-row className="link id">{printable(g.sample_task_id)}</Link></p></div>
            <div><Spark counts={g.counts} stepMs={g.counts_step_ms} /></div>
            <div className="sm:text-right"><p>{g.count} {g.count === 1 ? "failure" : "failures"} · <Link className="link" to="/dead-letters" search={{ fingerprint: g.fingerprint, status: "any" } as never}>{g.dead_letters} dead letters</Link><span className="text-soft sm:block"> <Time at={g.first_seen} /> to <Time at={g.last_seen} /></span></p>
              {may.operateAll && <p className="mt-1 flex gap-1.5 sm:justify-end">{offers[g.status].map((v) => <button key={v} className="btn" onClick={() => { decide.reset(); setSaid(""); setWish({ verb: v, group: g, send: new Send() }); }} aria-label={`${verbs[v].action} ${printable(g.sample.message ?? g.fingerprint)}`}>{verbs[v].action}</button>)}</p>}</div>
          </li>))}</ul>
      )}
      {query.data?.next_cursor && <p className="mt-2"><button className="btn" onClick={() => set({ cursor: query.data.next_cursor ?? undefined, from: from() })}>Older</button></p>}
      {wish && <Ask title={verbs[wish.verb].title} action={verbs[wish.verb].action} busy={decide.isPending} problem={decide.error} about="this error" onDo={(reason) => decide.mutate({ reason })} onClose={() => setWish(null)}><p className="text-ink break-words">{printable(wish.group.sample.message ?? wish.group.fingerprint)}</p><p className="mt-1">{verbs[wish.verb].body}</p></Ask>}
    </>
  );
}
