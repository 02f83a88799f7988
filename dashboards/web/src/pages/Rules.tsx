import { useState } from "react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { asCurl, getList, send } from "../api/client";
import type { AlertRule, Page, RuleTrial } from "../api/types";
import { useEvery } from "../ui/every";
import { printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { Field, Sheet } from "../ui/Sheet";

const spans = [["24h", "the last day"], ["7d", "the last 7 days"], ["30d", "the last 30 days"]] as const;

// Try asks when a rule would have fired. Nothing is raised and nobody is called.
function Try({ rule, onClose }: { rule: AlertRule; onClose(): void }) {
  const [since, setSince] = useState("7d");
  const run = useMutation({ mutationFn: () => send<RuleTrial>("POST", "/rules/try", { rule: rule.rule, since }), gcTime: 0 });
  const t = run.data;
  const often = t ? t.firings.length + (t.omitted ?? 0) : 0;
  return (
    <Sheet title={`Try ${printable(rule.name)} on the past`} action="Try" keep="Close" wide busy={run.isPending} problem={run.error} onDo={() => run.mutate()} onClose={onClose}>
      <p className="text-soft">It says when the rule would have fired over what is stored. Nobody is called.</p>
      <Field label="Over"><select className="field" value={since} onChange={(e) => { setSince(e.target.value); run.reset(); }}>{spans.map(([v, name]) => <option key={v} value={v}>{name}</option>)}</select></Field>
      <div role="status">{t && <p>{often === 0 ? "It would not have fired." : `It would have fired ${often === 1 ? "once" : `${often} times`}.`} <span className="text-soft">{t.events} events looked at, from <Time at={t.from} /> to <Time at={t.to} />{t.held ? ` · ${t.held} × it held and was over before it fired` : ""}</span></p>}</div>
      {!!t?.firings.length && (
        <ul className="panel rows max-h-72 overflow-y-auto" aria-label="Firings" tabIndex={0}>{t.firings.map((f, i) => (
          <li key={i} className="px-3 py-2">
            <p className="break-words"><Mark of={f.severity ?? rule.severity ?? "high"} /> {printable(f.title)}</p>
            <p className="text-soft break-words">from <Time at={f.fired_at} />{f.ended_at ? <> to <Time at={f.ended_at} /></> : " on"}{f.condition ? ` · ${word(f.condition)}` : ""}{f.text ? ` · ${printable(f.text)}` : ""}</p>
          </li>))}</ul>
      )}
      {!!t?.omitted && <p className="text-soft">{t.omitted} earlier ones are not listed.</p>}
    </Sheet>
  );
}

// Rules lists the alert rules in force and who set them.
export function Rules() {
  const { may } = useMe();
  const [trying, setTrying] = useState<AlertRule | null>(null);
  const query = useQuery({ queryKey: ["rules"], queryFn: ({ signal }) => getList<Page<AlertRule>>("/rules", {}, signal) });
  useEvery(30_000, query.refetch);
  const rows = query.data?.data ?? [];
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 mb-3">
        <span className="label">Besides these, a task that nothing retries any more, an open breaker and a channel that delivers nothing always raise an alert.</span>
        <span className="ml-auto"><Copy text={asCurl("/rules")}>Copy as curl</Copy></span>
      </div>
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title="No rule is set">Rules are written in the alerting file, or set with: tasktrail alerts rules set</Empty></div> : (
        <ul className="panel rows" aria-label="Rules">{rows.map((r) => (
          <li key={`${r.source} ${r.name}`} className="px-3 py-2 grid sm:grid-cols-[7rem_minmax(0,1fr)_auto] gap-x-4 gap-y-1">
            <p><Mark of={r.severity ?? "high"} /></p>
            <div className="min-w-0">
              <p className="break-words"><span className="font-medium">{printable(r.name)}</span> <span className="text-soft">{word(r.kind)}</span></p>
              <p className="text-soft break-words">{r.source === "api" ? <>set over the API{r.changed_by && <> by <span className="id">{printable(r.changed_by)}</span></>}{r.changed_at && <> <Time at={r.changed_at} /></>}</> : "from the alerting file: it is changed there"}{r.namespace ? ` · about the tasks of ${printable(r.namespace)}` : ""}</p>
              {r.disabled && <p className="text-wait break-words">! not in force: {printable(r.disabled)}</p>}
            </div>
            {may.operateAll && r.rule && <div className="sm:justify-self-end"><button className="btn" onClick={() => setTrying(r)} aria-label={`Try on the past: ${printable(r.name)}`}>Try on the past</button></div>}
          </li>))}</ul>
      )}
      {trying && <Try rule={trying} onClose={() => setTrying(null)} />}
    </>
  );
}
