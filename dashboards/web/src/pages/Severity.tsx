// How loudly a failed task calls: the thresholds in force, to be read. They are
// written in the alerting file.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { Severities } from "../api/types";
import { printable } from "../ui/format";
import { useMe } from "../ui/me";
import { Failed, Loading, Mark } from "../ui/parts";
import { exceptionInWords } from "../ui/severity";

// useSeverities reads the thresholds, which a token of one user may not.
export function useSeverities() {
  const { may } = useMe();
  return useQuery({ queryKey: ["severity"], queryFn: async ({ signal }) => (await get<{ severity: Severities }>("/rules", {}, signal)).severity, staleTime: 60_000, enabled: may.readAll });
}

// spaced sets the thousands of a plain decimal apart.
const spaced = (amount: string) => amount.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, "\u202f");

const Amounts = ({ of }: { of: Record<string, string> }) => (
  <dl className="grid grid-cols-[repeat(auto-fill,minmax(7rem,1fr))] gap-x-6 gap-y-1.5">{Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1)).map(([currency, amount]) => <div key={currency} className="flex justify-between items-baseline gap-2"><dt className="label">{printable(currency)}</dt><dd>{spaced(printable(amount))}</dd></div>)}</dl>
);

export function Severity() {
  const query = useSeverities();
  if (query.isError) return <Failed problem={query.error} again={() => void query.refetch()} />;
  if (!query.data) return <Loading />;
  const s = query.data;
  return (
    <div className="grid md:grid-cols-2 gap-3 items-start">
      <section className="panel px-3 py-3" aria-labelledby="severity-levels">
        <h2 id="severity-levels" className="font-medium mb-2">How loudly a failure calls</h2>
        <ul className="grid gap-2 mb-4">
          <li><Mark of="critical" /> <span className="text-soft">from the threshold of its currency on; one that is not listed counts like USD</span></li>
          <li><Mark of="high" /> <span className="text-soft">else, a payment or a withdrawal by its type</span></li>
          <li><Mark of="medium" /> <span className="text-soft">else</span></li>
        </ul>
        <h3 className="label mb-1.5">Critical from</h3>
        <Amounts of={s.thresholds} />
      </section>
      <section className="panel" aria-labelledby="severity-exceptions">
        <h2 id="severity-exceptions" className="font-medium px-3 pt-3 pb-2">Exceptions, the first that fits decides</h2>
        {s.types.length === 0 ? <p className="px-3 pb-3 text-soft">None is set.</p> : (
          <ol className="rows border-t border-line">{s.types.map((t, i) => (
            <li key={i} className="px-3 py-2 grid gap-1"><p className="break-words">{exceptionInWords(t.match)}</p>
              {t.severity && <p className="text-soft"><Mark of={t.severity} /> below the thresholds</p>}
              {t.thresholds && <div><p className="label">critical from</p><Amounts of={t.thresholds} /></div>}
            </li>))}</ol>
        )}
        <p className="label px-3 py-2 border-t border-line">They are set in the alerting file, under <span className="mono">severity</span>. An agent judges by its own; where the two differ, the louder counts.</p>
      </section>
    </div>
  );
}
