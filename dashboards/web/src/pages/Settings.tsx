import * as Tabs from "@radix-ui/react-tabs";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get, readiness } from "../api/client";
import type { Health } from "../api/types";
import { useAddress } from "../ui/address";
import { useEvery } from "../ui/every";
import { duration, printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Fact, Failed, Forbidden, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { TabRow } from "../ui/TabRow";
import { Audit } from "./Audit";
import { Channels } from "./Deliveries";
import { Keys } from "./Keys";
import { RequeueURLs } from "./RequeueURLs";
import { Severity } from "./Severity";

function About() {
  const { me } = useMe();
  const ready = useQuery({ queryKey: ["readyz"], queryFn: ({ signal }) => readiness(signal) });
  const health = useQuery({ queryKey: ["health", "1h"], queryFn: ({ signal }) => get<Health>("/tasks/monitoring/health", { window: "1h" }, signal) });
  const build = useQuery({ queryKey: ["version"], queryFn: ({ signal }) => get<{ version: string; commit?: string }>("/version", {}, signal), staleTime: 300_000 });
  useEvery(5000, ready.refetch);
  useEvery(5000, health.refetch);
  const h = health.data;
  return (
    <div className="grid md:grid-cols-2 gap-3 items-start">
      <section className="panel px-3 py-3" aria-labelledby="about-pipeline">
        <h2 id="about-pipeline" className="font-medium mb-2">Pipeline</h2>
        {ready.isError ? <Failed problem={ready.error} again={() => void ready.refetch()} /> : !ready.data ? <Loading /> : (
          <ul className="mb-3" aria-label="Parts">{Object.entries(ready.data.checks).sort().map(([part, is]) => <li key={part}><Mark of={is} /> {printable(part)}</li>)}{Object.keys(ready.data.checks).length === 0 && <li><Mark of={ready.data.status} /></li>}</ul>
        )}
        {health.isError ? <Failed problem={health.error} again={() => void health.refetch()} /> : h && (
          <dl className="grid grid-cols-2 gap-x-6 gap-y-3">
            <Fact name="From accepted to readable">{duration(h.ingest_lag_ms)}</Fact>
            <Fact name="Accepted retries nobody took yet">{h.waiting_retries}{h.oldest_waiting_retry_at && <span className="text-soft"> · oldest <Time at={h.oldest_waiting_retry_at} /></span>}</Fact>
            <Fact name="Lost tasks">{h.lost_tasks}</Fact>
            <Fact name="Pending dead letters"><Link className="link" to="/dead-letters">{h.dead_letter_depth}</Link></Fact>
            {build.data && <Fact name="Version"><span data-version>{build.data.version}</span>{build.data.commit && <span className="id text-soft"> {build.data.commit.slice(0, 12)}{build.data.commit.endsWith("+") && build.data.commit.length > 12 ? "+" : ""}</span>}</Fact>}
            {h.stale && <Fact name="Not current"><span className="text-wait">! {printable(h.stale)}</span></Fact>}
          </dl>
        )}
      </section>
      <section className="panel px-3 py-3" aria-labelledby="about-me">
        <h2 id="about-me" className="font-medium mb-2">You</h2>
        {me && (
          <dl className="grid grid-cols-2 gap-x-6 gap-y-3">
            <Fact name="Signed in as"><span className="id">{printable(me.id)}</span></Fact>
            <Fact name="Namespace">{me.namespace === "*" ? "any" : printable(me.namespace)}</Fact>
            <Fact name="Sees the tasks of">{me.user_id && !me.scopes.includes("read:all") ? printable(me.user_id) : "everybody"}</Fact>
            <Fact name="Session ends"><Time at={me.expires_at} /></Fact>
            <Fact name="Scopes">{me.scopes.join(", ")}</Fact>
          </dl>
        )}
        <p className="label mt-3">Everything here is in the API too: <a className="link" href="/openapi.yaml">its document</a>, <a className="link" href="/metrics">metrics</a>.</p>
      </section>
    </div>
  );
}

export function Settings() {
  const [search, set] = useAddress();
  const { may } = useMe();
  // What the token may not do is not offered; an address that names it says why.
  const tabs = [
    { id: "keys", name: "API keys", may: may.admin, scope: "admin", page: <Keys /> },
    { id: "channels", name: "Channels", may: may.readAll, scope: "read:all", page: <Channels /> },
    { id: "requeue", name: "Re-enqueue URLs", may: may.operateAll, scope: "operate", page: <RequeueURLs /> },
    { id: "severity", name: "Severity", may: may.readAll, scope: "read:all", page: <Severity /> },
    { id: "audit", name: "Audit trail", may: may.admin, scope: "admin", page: <Audit /> },
    { id: "about", name: "About", may: true, scope: "", page: <About /> },
  ];
  // A tab's filter is not the next one's.
  const fresh = Object.fromEntries(Object.keys(search).filter((k) => k !== "ns").map((k) => [k, undefined]));
  const tab = tabs.find((t) => t.id === search.tab) ?? tabs.find((t) => t.may)!;
  return (
    <>
      <h1 className="text-lg font-semibold mb-1">Settings</h1>
      <Tabs.Root value={tab.id} onValueChange={(v) => set({ ...fresh, tab: v })}>
        <TabRow label="Settings" open={tab.id} tabs={tabs.filter((t) => t.may).map((t) => [t.id, t.name] as const)} />
        {tabs.filter((t) => t.may).map((t) => <Tabs.Content key={t.id} value={t.id}>{t.page}</Tabs.Content>)}
      </Tabs.Root>
      {!tab.may && <Forbidden what={word(tab.name)} scope={tab.scope} />}
    </>
  );
}
