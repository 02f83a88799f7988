import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { asCurl, getList, send } from "../api/client";
import type { Page, RequeueURL } from "../api/types";
import { printable } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";
import { Field, Said, Sheet } from "../ui/Sheet";
import { Secret } from "./Keys";

const path = (queue: string) => `/requeue-urls/${encodeURIComponent(queue)}`;

function Edit({ old, onDone, onClose }: { old?: RequeueURL; onDone(r: RequeueURL): void; onClose(): void }) {
  const client = useQueryClient();
  const [queue, setQueue] = useState(old?.queue ?? "");
  const [url, setURL] = useState(old?.url ?? "https://");
  const [keeps, setKeeps] = useState(old?.keeps_input ?? false);
  const [rotate, setRotate] = useState(false);
  const [reason, setReason] = useState("");
  const put = useMutation({
    mutationFn: () => send<RequeueURL>("PUT", path(queue.trim()), { url: url.trim(), keeps_input: keeps, ...(rotate ? { rotate_secret: true } : {}), ...(reason.trim() ? { reason: reason.trim() } : {}) }),
    onSuccess: (r) => { void client.invalidateQueries({ queryKey: ["requeue"] }); onDone(r); },
    gcTime: 0,
  });
  return (
    <Sheet title={old ? `Where retries of ${printable(old.queue)} are posted` : "New re-enqueue URL"} action={old ? "Change" : "Register"} keep="Close" wide busy={put.isPending} disabled={!queue.trim() || !/^https?:\/\/./.test(url.trim())} problem={put.error} onDo={() => put.mutate()} onClose={onClose}>
      <p className="text-soft">Retries of a queue that no agent serves are posted there, signed after Standard Webhooks.</p>
      {!old && <Field label="Queue"><input className="field w-full" value={queue} maxLength={255} required onChange={(e) => setQueue(e.target.value)} autoFocus /></Field>}
      <Field label="URL" hint="http or https; private addresses need the collector's setting requeue_allow"><input className="field w-full" type="url" value={url} maxLength={2048} required onChange={(e) => setURL(e.target.value)} /></Field>
      <label className="flex gap-2 items-baseline"><input type="checkbox" checked={keeps} onChange={(e) => setKeeps(e.target.checked)} />whoever takes the posts still has the original inputs</label>
      {old && <label className="flex gap-2 items-baseline"><input type="checkbox" checked={rotate} onChange={(e) => setRotate(e.target.checked)} />make a new secret; calls are signed with both for a day</label>}
      <Field label="Reason"><input className="field w-full" value={reason} maxLength={1024} onChange={(e) => setReason(e.target.value)} /></Field>
    </Sheet>
  );
}

// How the receiver answers: what went wrong last stands there until a later call is taken.
function Answers({ of: r }: { of: RequeueURL }) {
  if (!r.state) return <p className="text-soft">not called yet</p>;
  const taken = r.last_delivery_at && <>last taken <Time at={r.last_delivery_at} /></>;
  if (r.state === "taking") return <p className="text-soft">{taken}</p>;
  return <p className="break-words"><span className="text-wait">! {r.state === "refusing" ? "refuses" : "does not answer as it should"}{r.last_error_at && <>, last <Time at={r.last_error_at} /></>}:</span> {printable(r.last_error ?? "")}{taken && <span className="text-soft"> · {taken}</span>}</p>;
}

export function RequeueURLs() {
  const { may } = useMe();
  const { now } = usePrefs();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [editing, setEditing] = useState<RequeueURL | "new" | null>(null);
  const [made, setMade] = useState<RequeueURL | null>(null);
  const [ending, setEnding] = useState<RequeueURL | null>(null);
  const query = useQuery({ queryKey: ["requeue"], queryFn: ({ signal }) => getList<Page<RequeueURL>>("/requeue-urls", {}, signal) });
  const end = useMutation({
    mutationFn: (r: RequeueURL) => send<void>("DELETE", path(r.queue)),
    onSuccess: (_, r) => { setEnding(null); setSaid(`Removed: ${printable(r.queue)}`); void client.invalidateQueries({ queryKey: ["requeue"] }); },
  });
  const rows = query.data?.data ?? [];
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        {may.admin ? <button className="btn btn-main" onClick={() => setEditing("new")}>New URL</button> : <span className="label">Changing them needs the scope admin.</span>}
        <span className="ml-auto"><Copy text={asCurl("/requeue-urls")}>Copy as curl</Copy></span>
      </div>
      <Said text={said} />
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title="No queue has one">A queue that no agent serves (a cron job, a service that only reports) gets its retries by HTTP where a URL is registered.</Empty></div> : (
        <ul className="panel rows" aria-label="Re-enqueue URLs">{rows.map((r) => (
          <li key={r.queue} className="px-3 py-2 grid sm:grid-cols-[minmax(0,1fr)_auto] gap-x-4 gap-y-1">
            <div className="min-w-0"><p className="break-words"><span className="font-medium">{printable(r.queue)}</span> <span className="id">{printable(r.url)}</span></p>
              <p className="text-soft">{r.keeps_input ? "keeps the inputs · " : ""}changed <Time at={r.changed_at} />{r.changed_by ? <> by <span className="id">{printable(r.changed_by)}</span></> : ""}{r.former_secret_until && Date.parse(r.former_secret_until) > now && <> · signed with the former secret too until <Time at={r.former_secret_until} /></>}</p><Answers of={r} /></div>
            {may.admin && <div className="flex gap-1.5 items-start"><button className="btn" onClick={() => setEditing(r)} aria-label={`Change ${printable(r.queue)}`}>Change</button><button className="btn" onClick={() => { end.reset(); setEnding(r); }} aria-label={`Remove ${printable(r.queue)}`}>Remove</button></div>}
          </li>))}</ul>
      )}
      {editing && <Edit old={editing === "new" ? undefined : editing} onDone={(r) => { setEditing(null); setSaid(`Registered: ${printable(r.queue)}`); if (r.secret) setMade(r); }} onClose={() => setEditing(null)} />}
      {made?.secret && <Secret title={`The secret of ${printable(made.queue)}`} secret={made.secret} onClose={() => setMade(null)}>With it the receiver checks that a call is ours.</Secret>}
      {ending && <Sheet title="Remove this URL?" action="Remove" danger busy={end.isPending} problem={end.error} onDo={() => end.mutate(ending)} onClose={() => setEnding(null)}><p className="break-words">{printable(ending.queue)} <span className="id">{printable(ending.url)}</span></p><p className="text-soft">Retries of the queue wait until somebody takes them.</p></Sheet>}
    </>
  );
}
