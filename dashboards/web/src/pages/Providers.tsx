import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { asCurl, getList } from "../api/client";
import type { BreakerChange, Page, Provider } from "../api/types";
import { useAddress } from "../ui/address";
import { Life } from "../ui/BreakerLife";
import { trippedBy } from "../ui/breakers";
import { useEvery } from "../ui/every";
import { printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Forbidden, Loading, Mark, Pager } from "../ui/parts";
import { Time, usePrefs } from "../ui/prefs";

const windows = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800 } as const;
type Window = keyof typeof windows;
function Changes({ list }: { list: BreakerChange[] }) {
  return (
    <ol className="rows border-t border-line" aria-label="Changes">
      {list.map((c, i) => (
        <li key={`${c.source_id}${c.at}${i}`} className="px-3 py-1.5 grid grid-cols-[auto_minmax(0,1fr)] sm:grid-cols-[8rem_7rem_minmax(0,1fr)] gap-x-3">
          <span className="text-soft"><Time at={c.at} /></span><span><Mark of={c.state} /></span>
          <span className="min-w-0 break-words col-span-2 sm:col-span-1 text-soft">{printable(c.agent || c.source_id.slice(0, 8))}{c.why ? ` · ${word(c.why)}` : ""}{c.calls ? <> · <span className="text-ink">{c.failures ?? 0} of {c.calls} calls failed</span></> : ""}{c.open_until && <> · probing allowed <Time at={c.open_until} /></>}{c.task_id && <> · <Link to="/tasks/$id" params={{ id: c.task_id }} className="link id">{printable(c.task_id)}</Link></>}</span>
        </li>
      ))}
    </ol>
  );
}

function One({ provider: p, window, open, onOpen }: { provider: Provider; window: Window; open: boolean; onOpen(): void }) {
  const { now } = usePrefs();
  const [search, set] = useAddress();
  const path = `/providers/${encodeURIComponent(p.provider)}/history`;
  const recent = useQuery({ queryKey: ["providers", p.provider, "recent"], queryFn: ({ signal }) => getList<Page<BreakerChange>>(path, { limit: 200 }, signal) });
  useEvery(5000, recent.refetch);
  const older = useQuery({ queryKey: ["providers", p.provider, search.cursor], queryFn: ({ signal }) => getList<Page<BreakerChange>>(path, { limit: 200, cursor: search.cursor }, signal), enabled: open && !!search.cursor });
  const changes = recent.data?.data ?? [];
  const page = open && search.cursor ? older.data : recent.data;
  const from = now - windows[window] * 1000;
  const first = changes.at(-1);
  return (
    <section className="panel mb-3" aria-label={printable(p.provider)} data-provider={p.provider}>
      <header className="px-3 py-2 flex flex-wrap gap-x-4 gap-y-1 items-baseline">
        <h2 className="font-medium text-base">{printable(p.provider)}</h2>
        <Mark of={p.state} /><span className="text-soft">since <Time at={p.since} /></span>
        <span className="text-soft">opened {p.opened} {p.opened === 1 ? "time" : "times"} in {window}</span>
        {p.dead_letters > 0 && <Link className="link" to="/dead-letters" search={{ reason: "circuit_open", provider: p.provider } as never}>{p.dead_letters} dead {p.dead_letters === 1 ? "letter waits" : "letters wait"} for it</Link>}
        <button className="link ml-auto" data-row aria-expanded={open} onClick={onOpen}>{open ? "Hide the history" : "History"}<span className="sr-only"> of {printable(p.provider)}</span></button>
      </header>
      <ul className="rows border-y border-line mb-2">
        {p.breakers.map((b) => {
          const by = b.state === "closed" ? undefined : trippedBy(changes, b.source_id);
          return (
            <li key={b.source_id} className="px-3 py-1.5">
              <Mark of={b.state} /> <span className="font-medium">{printable(b.agent || b.source_id.slice(0, 8))}</span> <span className="text-soft">since <Time at={b.since} />{b.open_until && b.state === "open" && <> · {Date.parse(b.open_until) > now ? <>probes <Time at={b.open_until} /></> : "may probe with the next task"}</>}{b.why ? ` · ${word(b.why)}` : ""}</span>
              {by?.calls ? <span> · {by.failures ?? 0} of {by.calls} calls had failed</span> : null}
              {b.expired && <span className="text-wait"> · ! its process has been silent since</span>}
            </li>
          );
        })}
      </ul>
      {recent.isError ? <div className="p-3"><Failed problem={recent.error} again={() => void recent.refetch()} /></div> : recent.isPending ? <Loading /> : <Life changes={changes} from={from} to={now} />}
      {recent.data?.next_cursor && first && Date.parse(first.at) > from && <p className="text-wait px-3 pb-2">! The lanes show the latest 200 changes, back to <Time at={first.at} />.</p>}
      {open && page && <Changes list={page.data} />}
      {open && older.isError && <div className="p-3"><Failed problem={older.error} /></div>}
      {open && <div className="px-3 pb-2"><Pager page={page} go={(cursor) => set({ cursor, provider: p.provider }, { push: true })} /></div>}
    </section>
  );
}

export function Providers() {
  const [search, set] = useAddress();
  const { may } = useMe();
  const window: Window = search.window && search.window in windows ? (search.window as Window) : "24h";
  const query = useQuery({ queryKey: ["providers", "all", window], queryFn: ({ signal }) => getList<Page<Provider>>("/providers", { window }, signal), placeholderData: (old) => old, enabled: may.readAll });
  useEvery(3000, query.refetch);
  if (!may.readAll) return <><h1 className="text-lg font-semibold mb-3">Providers</h1><Forbidden what="providers" scope="read:all" /></>;
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <h1 className="text-lg font-semibold">Providers</h1>
        <label className="flex items-center gap-1.5"><span className="label">looking back</span><select className="field" value={window} onChange={(e) => set({ window: e.target.value === "24h" ? undefined : e.target.value })}>{Object.keys(windows).map((w) => <option key={w}>{w}</option>)}</select></label>
        <span className="label">the worst first</span>
        <span className="ml-auto"><Copy text={asCurl("/providers", { window })}>Copy as curl</Copy></span>
      </div>
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : query.data.data.length === 0 ? <div className="panel"><Empty title="No breaker was heard of yet">A provider appears with the first change of a breaker: name it in the tasks that call it (<span className="mono">provider</span>).</Empty></div> : query.data.data.map((p) => <One key={p.provider} provider={p} window={window} open={search.provider === p.provider} onOpen={() => set({ provider: search.provider === p.provider ? undefined : p.provider })} />)}
    </>
  );
}
