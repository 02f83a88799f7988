import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { asCurl, getList, send } from "../api/client";
import type { Channel, Delivery, Page } from "../api/types";
import { useAddress } from "../ui/address";
import { useEvery } from "../ui/every";
import { ChoiceFilter } from "../ui/Filters";
import { printable } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark, Pager } from "../ui/parts";
import { Time } from "../ui/prefs";
import { Said, Sheet } from "../ui/Sheet";
import { ChannelForm, channelPath, type SetChannel } from "./ChannelForm";
import { Secret } from "./Keys";

// A count of nothing does not call.
const Count = ({ of, n }: { of: string; n: number }) => (n ? <><Mark of={of} /> <span className="text-ink">{n}</span></> : <>{of} 0</>);

// Channels lists where alerts go, how that does, and lets each be tried.
export function Channels({ chosen, onChoose }: { chosen?: string; onChoose?(name: string): void }) {
  const { may } = useMe();
  const client = useQueryClient();
  const query = useQuery({ queryKey: ["channels"], queryFn: ({ signal }) => getList<Page<Channel>>("/channels", {}, signal) });
  useEvery(5000, query.refetch);
  const [tried, setTried] = useState<Delivery | null>(null);
  const [said, setSaid] = useState("");
  const [editing, setEditing] = useState<Channel | "new" | null>(null);
  const [made, setMade] = useState<SetChannel | null>(null);
  const [ending, setEnding] = useState<Channel | null>(null);
  const end = useMutation({
    mutationFn: (c: Channel) => send<void>("DELETE", channelPath(c.name)),
    onSuccess: (_, c) => { setEnding(null); setSaid(`Removed: ${printable(c.name)}`); void client.invalidateQueries({ queryKey: ["channels"] }); },
  });
  const test = useMutation({
    mutationFn: (name: string) => send<Delivery>("POST", `${channelPath(name)}/test`, {}),
    onMutate: () => setTried(null),
    onSuccess: (d) => {
      setTried(d);
      void client.invalidateQueries({ queryKey: ["channels"] });
      void client.invalidateQueries({ queryKey: ["deliveries"] });
    },
  });
  const rows = query.data?.data ?? [];
  return (
    <>
      {may.admin && <div className="mb-3"><button className="btn" onClick={() => setEditing("new")}>New channel</button></div>}
      <Said text={said} />
      {tried && <p role="status" className="panel px-3 py-1.5 mb-3">Test of {printable(tried.channel)}: <Mark of={tried.status} />{tried.http_status ? ` · HTTP ${tried.http_status}` : ""}{tried.error ? ` · ${printable(tried.error)}` : ""}</p>}
      {test.isError && <div className="mb-3"><Failed problem={test.error} /></div>}
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title="No channel is set up">Alerts are on this page and on Redis alone. Webhooks, Alertmanager, Slack and PagerDuty are set up here or in the alerting file.</Empty></div> : (
        <ul className="panel rows" aria-label="Channels">{rows.map((c) => (
          <li key={c.name} className="px-3 py-2 grid sm:grid-cols-[minmax(0,1fr)_auto] gap-x-4 gap-y-1">
            <div className="min-w-0">
              <p>{onChoose ? <button className={`link ${chosen === c.name ? "font-semibold" : ""}`} data-row aria-pressed={chosen === c.name} onClick={() => onChoose(c.name)}>{printable(c.name)}</button> : <span className="font-medium">{printable(c.name)}</span>} <span className="text-soft">{c.type}{c.target ? ` to ${printable(c.target)}` : ""}{c.min_severity ? ` · from ${c.min_severity} up` : ""}</span></p>
              {c.disabled ? <p className="text-wait">! nothing is sent: {printable(c.disabled)}</p> : <p className="text-soft"><Count of="delivered" n={c.delivered} /> · <Count of="waiting" n={c.waiting} />{c.oldest_waiting_at && <>, the oldest <Time at={c.oldest_waiting_at} /></>} · <Count of="failed" n={c.failed} /> · <Count of="dropped" n={c.dropped} />{c.last_success_at && <> · last arrived <Time at={c.last_success_at} /></>}</p>}
              {c.last_error && <p className="break-words"><span className="text-bad">✕ last failure</span> <Time at={c.last_failure_at} />: {printable(c.last_error)}</p>}
              {c.source === "api" ? c.changed_by && <p className="text-soft">set by <span className="id">{printable(c.changed_by)}</span> <Time at={c.changed_at} /></p> : <p className="text-soft">from the configuration or its alerting file: it is changed there</p>}
            </div>
            <div className="flex flex-wrap gap-1.5 items-start sm:justify-self-end">
              {may.admin && c.source === "api" && <><button className="btn" onClick={() => setEditing(c)} aria-label={`Change ${printable(c.name)}`}>Change</button><button className="btn" onClick={() => { end.reset(); setEnding(c); }} aria-label={`Remove ${printable(c.name)}`}>Remove</button></>}
              {may.operateAll && <button className="btn" disabled={test.isPending} onClick={() => test.mutate(c.name)} aria-label={`Test ${printable(c.name)}`}>{test.isPending && test.variables === c.name ? "Testing…" : "Test"}</button>}
            </div>
          </li>))}</ul>
      )}
      {editing && <ChannelForm old={editing === "new" ? undefined : editing} taken={rows.filter((c) => c.source === "api").map((c) => c.name)} onDone={(c) => { setEditing(null); setSaid(`Set up: ${printable(c.name)}. It is in force within some seconds.`); if (c.secret) setMade(c); }} onClose={() => setEditing(null)} />}
      {made?.secret && <Secret title={`The secret of ${printable(made.name)}`} secret={made.secret} onClose={() => setMade(null)}>With it the receiver checks that a call is ours.</Secret>}
      {ending && <Sheet title="Remove this channel?" action="Remove" danger busy={end.isPending} problem={end.error} onDo={() => end.mutate(ending)} onClose={() => setEnding(null)}><p className="break-words">{printable(ending.name)}</p><p className="text-soft">What it has not delivered yet goes with it.</p></Sheet>}
    </>
  );
}

export function Deliveries() {
  const [search, set] = useAddress();
  const { may } = useMe();
  const client = useQueryClient();
  const channels = useQuery({ queryKey: ["channels"], queryFn: ({ signal }) => getList<Page<Channel>>("/channels", {}, signal) });
  const channel = search.channel ?? channels.data?.data[0]?.name;
  const params = { status: search.status, alert_id: search.alert_id, cursor: search.cursor, limit: 50 };
  const query = useQuery({ queryKey: ["deliveries", channel, params], queryFn: ({ signal }) => getList<Page<Delivery>>(`${channelPath(channel!)}/deliveries`, params, signal), enabled: !!channel, placeholderData: (old) => old });
  useEvery(4000, query.refetch);
  const [said, setSaid] = useState("");
  const resend = useMutation({
    mutationFn: (d: Delivery) => send<Delivery>("POST", `${channelPath(d.channel)}/deliveries/${encodeURIComponent(d.id)}/resend`, {}),
    onSuccess: (_, d) => { setSaid(`Queued again, under its id: ${printable(d.title)}`); void client.invalidateQueries({ queryKey: ["deliveries"] }); },
  });
  const rows = query.data?.data ?? [];
  return (
    <>
      <Channels chosen={channel} onChoose={(name) => set({ channel: name })} />
      {channel && (
        <section className="mt-4" aria-label={`Log of ${printable(channel)}`}>
          <div className="flex flex-wrap items-end gap-x-3 gap-y-2 mb-2">
            <h2 className="font-medium">What {printable(channel)} was told</h2>
            <ChoiceFilter label="Outcome" value={search.status} onSet={(v) => set({ status: v })} options={[["waiting", "waiting"], ["delivered", "delivered"], ["failed", "failed"], ["dropped", "dropped"]]} />
            {search.alert_id && <button className="btn" onClick={() => set({ alert_id: undefined })}><span className="sr-only">Remove the filter </span>alert <span className="id">{search.alert_id.slice(0, 8)}</span> ×</button>}
            <span className="ml-auto"><Copy text={asCurl(`${channelPath(channel)}/deliveries`, params)}>Copy as curl</Copy></span>
          </div>
          <Said text={said} />
          {resend.isError && <div className="mb-3"><Failed problem={resend.error} /></div>}
          {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
          {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title="Nothing here">{search.status || search.alert_id ? <button className="link" onClick={() => set({ status: undefined, alert_id: undefined })}>Show all</button> : "What is sent stands here, with how it went."}</Empty></div> : (
            <ul className="panel rows" aria-label="Deliveries">{rows.map((d) => (
              <li key={d.id} className="px-3 py-2 grid sm:grid-cols-[7rem_minmax(0,1fr)_auto] gap-x-4 gap-y-1">
                <p><Mark of={d.status} /></p>
                <div className="min-w-0"><p className="break-words">{printable(d.title)}</p>
                  <p className="text-soft break-words">{d.severity && <><Mark of={d.severity} /> · </>}{d.state && <><Mark of={d.state} /> · </>}queued <Time at={d.queued_at} /> · {d.attempts} {d.attempts === 1 ? "try" : "tries"}{d.http_status ? ` · HTTP ${d.http_status}` : ""}{d.last_try_at && <>, the last <Time at={d.last_try_at} /></>}{d.next_try_at && d.status === "waiting" && <> · next <Time at={d.next_try_at} /></>} · <span className="id">{printable(d.id)}</span></p>
                  {d.error && <p className="break-words"><span className="text-bad">✕</span> {printable(d.error)}</p>}</div>
                {may.operateAll && d.status !== "waiting" && <button className="btn self-start justify-self-start sm:justify-self-end" disabled={resend.isPending} onClick={() => resend.mutate(d)} aria-label={`Send again: ${printable(d.title)}`}>Send again</button>}
              </li>))}</ul>
          )}
          <Pager page={query.data} go={(cursor) => set({ cursor }, { push: true })} />
        </section>
      )}
    </>
  );
}
