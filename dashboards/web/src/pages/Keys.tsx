import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { asCurl, getList, send } from "../api/client";
import type { Key, Page, Scope } from "../api/types";
import { useAddress } from "../ui/address";
import { printable } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";
import { Field, Said, Sheet } from "../ui/Sheet";

const scopes: [Scope, string][] = [["ingest", "send events"], ["agent", "send events and take the commands of queues"], ["read", "see one user's tasks"], ["read:all", "see every task"], ["read:payload", "see inputs and outputs"], ["operate", "retry, cancel, discard, silence"], ["admin", "everything, keys too"]];
const lasts = [["30d", "30 days"], ["90d", "90 days"], ["365d", "a year"], ["", "until it is revoked"]] as const;
const words = (s: string) => s.split(",").map((q) => q.trim()).filter(Boolean);

export const keyState = (k: Key, now: number): "active" | "revoked" | "expired" => (k.revoked_at ? "revoked" : k.expires_at && Date.parse(k.expires_at) <= now ? "expired" : "active");

// Secret is shown once and kept nowhere: it is gone with the dialog.
export function Secret({ title, secret, onClose, children }: { title: string; secret: string; onClose(): void; children: React.ReactNode }) {
  return (
    <Sheet title={title} keep="I have stored it" onClose={onClose} wide>
      <p>{children}</p>
      <p className="bg-sunk rounded px-3 py-2"><code className="id" data-secret>{secret}</code></p>
      <p><Copy text={secret}>Copy</Copy></p>
      <p className="text-wait">! It is shown this once. Nobody can read it again, not even here.</p>
    </Sheet>
  );
}

function NewKey({ onMade, onClose }: { onMade(k: Key): void; onClose(): void }) {
  const { me } = useMe();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<Scope[]>([]);
  const [user, setUser] = useState("");
  const [queues, setQueues] = useState("");
  const [anywhere, setAnywhere] = useState(false);
  const [lasting, setLasting] = useState("90d");
  const create = useMutation({
    mutationFn: () => send<Key>("POST", "/keys", { name: name.trim(), scopes: chosen, ...(user.trim() ? { user_id: user.trim() } : {}), ...(words(queues).length ? { queues: words(queues) } : {}), ...(anywhere ? { namespace: "*" } : {}), ...(lasting ? { expires_in: lasting } : {}) }),
    onSuccess: (k) => { void client.invalidateQueries({ queryKey: ["keys"] }); onMade(k); },
    // The answer holds the token: it shall not stay in memory longer than the dialog.
    gcTime: 0,
  });
  return (
    <Sheet title="New API key" action="Make the key" keep="Close" wide busy={create.isPending} disabled={!name.trim() || !chosen.length} problem={create.error} onDo={() => create.mutate()} onClose={onClose}>
      <Field label="What it is for"><input className="field w-full" value={name} maxLength={255} required onChange={(e) => setName(e.target.value)} autoFocus /></Field>
      <fieldset className="grid sm:grid-cols-2 gap-x-4 gap-y-2"><legend className="label mb-1">What it may do</legend>
        {scopes.map(([s, what]) => <label key={s} className="flex gap-2 items-baseline"><input type="checkbox" checked={chosen.includes(s)} onChange={(e) => setChosen(e.target.checked ? [...chosen, s] : chosen.filter((c) => c !== s))} /><span><span className="mono">{s}</span> <span className="label">{what}</span></span></label>)}
      </fieldset>
      {chosen.includes("admin") && <p className="text-wait">! A key with admin can make further keys. Prefer the scopes that are needed.</p>}
      {chosen.includes("read") && !chosen.includes("read:all") && <Field label="Of which user"><input className="field w-full" value={user} maxLength={255} onChange={(e) => setUser(e.target.value)} /></Field>}
      {chosen.includes("agent") && <Field label="Commands of these queues" hint="with commas between them; none means all"><input className="field w-full" value={queues} onChange={(e) => setQueues(e.target.value)} /></Field>}
      {me?.namespace === "*" && <label className="flex gap-2 items-baseline"><input type="checkbox" checked={anywhere} onChange={(e) => setAnywhere(e.target.checked)} />good in every namespace</label>}
      <Field label="Lasts"><select className="field" value={lasting} onChange={(e) => setLasting(e.target.value)}>{lasts.map(([v, n]) => <option key={v} value={v}>{n}</option>)}</select></Field>
    </Sheet>
  );
}

export function Keys() {
  const [search, set] = useAddress();
  const { now } = usePrefs();
  const { me } = useMe();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Key | null>(null);
  const [revoking, setRevoking] = useState<Key | null>(null);
  const query = useQuery({ queryKey: ["keys"], queryFn: ({ signal }) => getList<Page<Key>>("/keys", {}, signal) });
  const revoke = useMutation({
    mutationFn: (k: Key) => send<void>("DELETE", `/keys/${encodeURIComponent(k.id)}`),
    onSuccess: (_, k) => { setRevoking(null); setSaid(`Revoked: ${printable(k.name)}`); void client.invalidateQueries({ queryKey: ["keys"] }); },
  });
  const every = search.keys === "all";
  const rows = (query.data?.data ?? []).filter((k) => every || keyState(k, now) === "active");
  const hidden = (query.data?.data.length ?? 0) - rows.length;
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <button className="btn btn-main" onClick={() => setMaking(true)}>New key</button>
        <label className="flex items-center gap-1.5"><input type="checkbox" checked={every} onChange={(e) => set({ keys: e.target.checked ? "all" : undefined })} />revoked and expired ones too</label>
        <span className="ml-auto"><Copy text={asCurl("/keys")}>Copy as curl</Copy></span>
      </div>
      <Said text={said} />
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title={hidden ? "No key is in use" : "No key yet"}>{hidden ? `${hidden} revoked or expired.` : "Agents and sidecars need one with the scope agent; the OTLP receiver takes ingest."}</Empty></div> : (
        <ul className="panel rows" aria-label="API keys">{rows.map((k) => (
          <li key={k.id} className="px-3 py-2 grid sm:grid-cols-[7rem_minmax(0,1fr)_auto] gap-x-4 gap-y-1" data-key={k.id}>
            <p><Mark of={keyState(k, now)} /></p>
            <div className="min-w-0"><p className="break-words"><span className="font-medium">{printable(k.name)}</span> <span className="mono">{k.scopes.join(" ")}</span>{me?.id === `key:${k.id}` && <span className="text-run"> · the one you use</span>}</p>
              <p className="text-soft break-words"><span className="id">{k.id}</span> · namespace {k.namespace === "*" ? "any" : printable(k.namespace)}{k.user_id ? ` · user ${printable(k.user_id)}` : ""}{k.queues?.length ? ` · queues ${k.queues.map(printable).join(", ")}` : ""} · made <Time at={k.created_at} />{k.revoked_at ? <> · revoked <Time at={k.revoked_at} /></> : k.expires_at ? <> · ends <Time at={k.expires_at} /></> : " · does not end"}</p></div>
            {keyState(k, now) === "active" && <button className="btn self-start justify-self-start sm:justify-self-end" onClick={() => { revoke.reset(); setRevoking(k); }} aria-label={`Revoke ${printable(k.name)}`}>Revoke</button>}
          </li>))}</ul>
      )}
      {making && <NewKey onMade={(k) => { setMaking(false); setMade(k); setSaid(`Made: ${printable(k.name)}`); }} onClose={() => setMaking(false)} />}
      {made?.token && <Secret title={`The token of ${printable(made.name)}`} secret={made.token} onClose={() => setMade(null)}>Put it where it is used: <span className="mono">Authorization: Bearer …</span></Secret>}
      {revoking && <Sheet title="Revoke this key?" action="Revoke for ever" danger busy={revoke.isPending} problem={revoke.error} onDo={() => revoke.mutate(revoking)} onClose={() => setRevoking(null)}><p className="break-words"><span className="font-medium">{printable(revoking.name)}</span> <span className="id">{revoking.id}</span></p><p className="text-soft">Whoever uses it is refused from then on. It cannot be taken back.</p>{me?.id === `key:${revoking.id}` && <p className="text-wait">! It is the one you are signed in with.</p>}</Sheet>}
    </>
  );
}
