import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { asCurl, get } from "../api/client";
import type { ErrorGroup, Page } from "../api/types";
import { printable } from "../ui/format";
import { Copy, Empty, Failed, Loading } from "../ui/parts";
import { Time } from "../ui/prefs";

export function Errors() {
  const search = useSearch({ strict: false }) as Record<string, string>;
  const params = { limit: 100, cursor: search.cursor };
  const query = useQuery({ queryKey: ["errors", params], queryFn: ({ signal }) => get<Page<ErrorGroup>>("/errors", params, signal), refetchInterval: 15_000 });
  return (
    <>
      <div className="flex items-center gap-4 mb-3"><h1 className="text-lg font-semibold">Errors</h1><span className="label">failures that are the same but for their values, last seen first</span><span className="ml-auto hidden sm:inline"><Copy text={asCurl("/errors", params)}>Copy as curl</Copy></span></div>
      {query.isError ? <Failed problem={query.error} again={() => void query.refetch()} /> : !query.data ? <Loading /> : query.data.data.length === 0 ? <div className="panel"><Empty title="No failure on record" /></div> : (
        <ul className="panel rows">{query.data.data.map((g) => (
          <li key={g.fingerprint} className="px-3 py-2 grid sm:grid-cols-[minmax(0,1fr)_auto] gap-x-4">
            <div className="min-w-0"><p className="break-words"><span className="text-bad">✕ {g.sample.kind}</span> {printable(g.sample.message ?? "")}</p>
              <p className="text-soft">{g.types.join(", ")} · {g.queues.join(", ")} · for example <Link to="/tasks/$id" params={{ id: g.sample_task_id }} data-row className="link id">{printable(g.sample_task_id)}</Link></p></div>
            <p className="sm:text-right">{g.count} {g.count === 1 ? "failure" : "failures"} · <Link className="link" to="/dead-letters" search={{ fingerprint: g.fingerprint, status: "any" } as never}>dead letters</Link><span className="text-soft sm:block"> <Time at={g.first_seen} /> to <Time at={g.last_seen} /></span></p>
          </li>))}</ul>
      )}
      {query.data?.next_cursor && <p className="mt-2"><Link className="btn" to="/errors" search={{ cursor: query.data.next_cursor } as never}>Older</Link></p>}
    </>
  );
}
