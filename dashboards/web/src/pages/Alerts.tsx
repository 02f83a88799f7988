import * as Tabs from "@radix-ui/react-tabs";
import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { asCurl, getList, send } from "../api/client";
import type { Alert, Page } from "../api/types";
import { useAlerts } from "../live/live";
import { useAddress } from "../ui/address";
import { useEvery } from "../ui/every";
import { ChoiceFilter, TextFilter } from "../ui/Filters";
import { printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Forbidden, Loading, Mark, Pager } from "../ui/parts";
import { Time } from "../ui/prefs";
import { TabRow } from "../ui/TabRow";
import { Reasoned, Said } from "../ui/Sheet";
import { fits, suggested, type Matcher } from "../ui/silence";
import { csv, download } from "../ui/table";
import { Deliveries } from "./Deliveries";
import { Rules } from "./Rules";
import { NewSilence, Silences } from "./Silences";

// What changes is told over the stream; this is for what is not: a silence that ends.
const everyMs = 30_000;
const columns = ["id", "rule", "severity", "state", "title", "text", "task_id", "task_type", "queue", "provider", "user_id", "amount", "currency", "reason", "starts_at", "updated_at", "ends_at"];
const ways = ["firing", "unacknowledged", "acknowledged", "silenced", "pending", "resolved", "any"] as const;
type Way = (typeof ways)[number];
const asked: Record<Way, Record<string, string | undefined>> = { firing: { state: "firing" }, unacknowledged: { state: "firing", acknowledged: "false" }, acknowledged: { state: "firing", acknowledged: "true" }, silenced: { state: "firing", silenced: "true" }, pending: { state: "pending" }, resolved: { state: "resolved" }, any: {} };

// A rule's runbook comes from a file and goes into a link: only the web's own ways.
const runbook = (a: Alert) => (a.runbook && /^https?:\/\//i.test(a.runbook) ? a.runbook : undefined);

function Row({ alert: a, open, onOpen, onAcknowledge, onSilence }: { alert: Alert; open: boolean; onOpen(): void; onAcknowledge?(): void; onSilence?(): void }) {
  return (
    <li className="px-3 py-2" data-alert={a.id}>
      <div className="grid sm:grid-cols-[7rem_minmax(0,1fr)_auto] gap-x-4 gap-y-1">
        <p><Mark of={a.severity || "info"} /></p>
        <div className="min-w-0">
          <p className="break-words"><button className="link text-left" data-row aria-expanded={open} onClick={onOpen}>{printable(a.title)}</button>{a.amount && !a.title.includes(a.amount) && <strong className="whitespace-nowrap"> {a.amount} {a.currency}</strong>}</p>
          <p className="text-soft"><Mark of={a.state} /> since <Time at={a.state === "resolved" ? a.ends_at : a.starts_at} />{a.runs && a.runs > 1 ? ` · ${a.runs} runs failed` : ""}
            {a.task_id && <> · <Link to="/tasks/$id" params={{ id: a.task_id }} className="link id">{printable(a.task_id)}</Link></>}
            {a.provider && <> · <Link to="/providers" search={{ provider: a.provider } as never} className="link">{printable(a.provider)}</Link></>}</p>
          {a.acknowledged && <p><Mark of="acknowledged" /> by <span className="id">{printable(a.acknowledged.by)}</span> <Time at={a.acknowledged.at} />{a.acknowledged.reason ? `: ${printable(a.acknowledged.reason)}` : ""}</p>}
          {!!a.silenced_by?.length && <p><Mark of="silenced" /> nobody is called for it</p>}
        </div>
        <div className="flex gap-1.5 items-start sm:justify-self-end">
          {onAcknowledge && a.state === "firing" && <button className="btn" onClick={onAcknowledge} aria-label={`${a.acknowledged ? "Take over" : "Acknowledge"} ${printable(a.title)}`}>{a.acknowledged ? "Take over" : "Acknowledge"}</button>}
          {onSilence && a.state === "firing" && <button className="btn" onClick={onSilence} aria-label={`Silence ${printable(a.title)}`}>Silence…</button>}
        </div>
      </div>
      {open && (
        <div className="mt-2 sm:ml-[8rem] grid gap-1">
          {a.text && <p className="break-words whitespace-pre-wrap">{printable(a.text)}</p>}
          {a.error?.message && <p className="break-words"><span className="text-bad">✕ {a.error.kind ?? "error"}</span> {printable(a.error.message)}</p>}
          <p className="text-soft break-words">rule <span className="id">{printable(a.rule)}</span>{a.condition ? ` (${word(a.condition)})` : ""}{a.value ? ` · measured ${a.value}` : ""}{a.reason ? ` · ${word(a.reason)}` : ""}{a.task_type ? ` · ${printable(a.task_type)}` : ""}{a.queue ? ` · queue ${printable(a.queue)}` : ""}{a.agent ? ` · agent ${printable(a.agent)}` : ""}{a.user_id ? ` · user ${printable(a.user_id)}` : ""} · started <Time at={a.starts_at} /></p>
          <p className="flex flex-wrap gap-x-4"><Link to="/alerts" search={{ tab: "deliveries", alert_id: a.id } as never} className="link">who was told</Link>{runbook(a) && <a className="link" href={runbook(a)} rel="noreferrer noopener" target="_blank">runbook</a>}<span className="id text-soft">{a.id}</span></p>
        </div>
      )}
    </li>
  );
}

function Firing() {
  const [search, set] = useAddress();
  const { may } = useMe();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [taking, setTaking] = useState<Alert | null>(null);
  const [silencing, setSilencing] = useState<Matcher[] | null>(null);
  const way: Way = ways.find((w) => w === search.show) ?? "firing";
  const params = { ...asked[way], severity: search.severity, rule: search.rule, provider: search.provider, text: search.q, cursor: search.cursor, limit: 50 };
  const query = useQuery({ queryKey: ["alerts", params], queryFn: ({ signal }) => getList<Page<Alert>>("/alerts", params, signal), placeholderData: (old) => old });
  useAlerts();
  useEvery(everyMs, query.refetch);
  const take = useMutation({
    mutationFn: ({ a, reason }: { a: Alert; reason: string }) => send<Alert>("POST", `/alerts/${a.id}/acknowledge`, reason ? { reason } : {}),
    onSuccess: (_, { a }) => { setSaid(`Acknowledged: ${printable(a.title)}`); setTaking(null); void client.invalidateQueries({ queryKey: ["alerts"] }); },
  });
  const rows = query.data?.data ?? [];
  const filtered = !!(search.severity || search.rule || search.provider || search.q);
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 mb-2">
        <div className="flex flex-wrap gap-1.5" role="group" aria-label="Which alerts">
          {ways.map((w) => <button key={w} className={`btn ${w === way ? "border-accent bg-sunk" : ""}`} aria-pressed={w === way} onClick={() => set({ show: w === "firing" ? undefined : w })}>{w === "any" || w === "unacknowledged" ? w : <Mark of={w} />}</button>)}
        </div>
        <span className="ml-auto flex flex-wrap gap-1.5">
          <button className="btn" disabled={!rows.length} onClick={() => download("alerts.csv", "text/csv;charset=utf-8", csv(columns, rows))}>CSV</button>
          <button className="btn" disabled={!rows.length} onClick={() => download("alerts.json", "application/json", JSON.stringify(rows, null, 2))}>JSON</button>
          <Copy text={asCurl("/alerts", params)}>Copy as curl</Copy>
        </span>
      </div>
      <div className="grid grid-cols-2 sm:grid-cols-4 gap-2 mb-3">
        <ChoiceFilter label="Severity" value={search.severity} onSet={(v) => set({ severity: v })} options={[["critical", "critical"], ["high", "high"], ["medium", "medium"]]} />
        <TextFilter label="Text" search value={search.q} onSet={(v) => set({ q: v })} placeholder="title, text or error" />
        <TextFilter label="Rule" value={search.rule} onSet={(v) => set({ rule: v })} suggest={[...new Set(rows.map((a) => a.rule))]} />
        <TextFilter label="Provider" value={search.provider} onSet={(v) => set({ provider: v })} />
      </div>
      <Said text={said} />
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? (
        <div className="panel"><Empty title={filtered || way !== "firing" ? "No alert fits" : "Nothing is firing"}>{filtered || way !== "firing" ? <button className="link" onClick={() => set({ show: undefined, severity: undefined, rule: undefined, provider: undefined, q: undefined })}>Show what is firing</button> : <>Alerts appear here by themselves. <Link className="link" to="/alerts" search={{ tab: "deliveries" } as never}>Test a channel</Link> to see that they arrive.</>}</Empty></div>
      ) : (
        <ul className="panel rows" aria-label="Alerts">{rows.map((a) => <Row key={a.id} alert={a} open={search.open === a.id} onOpen={() => set({ open: search.open === a.id ? undefined : a.id, cursor: search.cursor })} onAcknowledge={may.operate ? () => { take.reset(); setTaking(a); } : undefined} onSilence={may.operateAll ? () => setSilencing(suggested(a)) : undefined} />)}</ul>
      )}
      <Pager page={query.data} go={(cursor) => set({ cursor }, { push: true })} />
      {taking && <Reasoned title="Acknowledge this alert?" action="Acknowledge" label="What you do about it, shown to the others" busy={take.isPending} problem={take.error} onDo={(reason) => take.mutate({ a: taking, reason })} onClose={() => setTaking(null)}><p className="break-words">{printable(taking.title)}</p><p className="text-soft">It is repeated no more, and shows that you have it.</p></Reasoned>}
      {silencing && <NewSilence begin={silencing} held={(m) => rows.filter((a) => a.state === "firing" && fits(a, m)).length} onDone={(text) => { setSilencing(null); setSaid(text); }} onClose={() => setSilencing(null)} />}
    </>
  );
}

const tabs = [["firing", "Alerts"], ["silences", "Silences"], ["rules", "Rules"], ["deliveries", "Channels and deliveries"]] as const;

export function Alerts() {
  const [search, set] = useAddress();
  const { may } = useMe();
  const tab = tabs.some(([t]) => t === search.tab) ? search.tab! : "firing";
  const gone = Object.fromEntries(Object.keys(search).filter((k) => k !== "ns").map((k) => [k, undefined]));
  const needsAll = (what: string, page: React.ReactNode) => (may.readAll ? page : <Forbidden what={what} scope="read:all" />);
  return (
    <>
      <h1 className="text-lg font-semibold mb-1">Alerts</h1>
      <Tabs.Root value={tab} onValueChange={(v) => set({ ...gone, tab: v === "firing" ? undefined : v })}>
        <TabRow label="Views of alerts" open={tab} tabs={tabs.filter(([v]) => v === "firing" || may.readAll)} />
        <Tabs.Content value="firing"><Firing /></Tabs.Content>
        <Tabs.Content value="silences">{needsAll("silences", <Silences />)}</Tabs.Content>
        <Tabs.Content value="rules">{needsAll("rules", <Rules />)}</Tabs.Content>
        <Tabs.Content value="deliveries">{needsAll("channels", <Deliveries />)}</Tabs.Content>
      </Tabs.Root>
    </>
  );
}
