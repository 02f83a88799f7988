import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { asCurl, getList, send } from "../api/client";
import type { AlertMatch, Page, Silence } from "../api/types";
import { useAddress } from "../ui/address";
import { useEvery } from "../ui/every";
import { ChoiceFilter } from "../ui/Filters";
import { printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Empty, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { Field, Said, Sheet } from "../ui/Sheet";
import { fields, inWords, matchersOf, matchOf, type Matcher } from "../ui/silence";

const durations = [["30m", "30 minutes", 30], ["1h", "1 hour", 60], ["2h", "2 hours", 120], ["8h", "8 hours", 480], ["24h", "1 day", 1440], ["3d", "3 days", 4320], ["7d", "7 days", 10_080]] as const;

// NewSilence asks for the matchers, how long and why, of a new silence or of one
// that is changed. held counts what it would hold back of the alerts that are shown.
export function NewSilence({ begin, change: old, held, onDone, onClose }: { begin: Matcher[]; change?: Silence; held?(m: AlertMatch): number; onDone(said: string): void; onClose(): void }) {
  const client = useQueryClient();
  const [matchers, setMatchers] = useState<Matcher[]>(begin.length ? begin : [{ field: "provider", value: "" }]);
  const [duration, setDuration] = useState(old ? "" : "2h");
  const [reason, setReason] = useState(old?.reason ?? "");
  const match = matchOf(matchers);
  const change = (i: number, m: Partial<Matcher>) => setMatchers(matchers.map((was, j) => (j === i ? { ...was, ...m } : was)));
  const create = useMutation({
    mutationFn: () => {
      if (!old) return send<Silence>("POST", "/silences", { match, duration, reason: reason.trim() });
      const minutes = durations.find(([d]) => d === duration)?.[2];
      const ends_at = minutes ? new Date(Date.now() + minutes * 60_000).toISOString() : old.ends_at;
      return send<Silence>("PUT", `/silences/${old.id}`, { match, starts_at: old.starts_at, ends_at, reason: reason.trim() });
    },
    onSuccess: (s) => {
      void client.invalidateQueries({ queryKey: ["silences"] });
      void client.invalidateQueries({ queryKey: ["alerts"] });
      onDone(`${old ? "Changed" : `Silenced for ${duration}`}: ${printable(inWords(s.match))}`);
    },
  });
  const empty = Object.keys(match).length === 0;
  return (
    <Sheet title={old ? "Change this silence" : "Silence alerts"} action={old ? "Change" : "Silence"} wide busy={create.isPending} disabled={empty || !reason.trim()} problem={create.error} onDo={() => create.mutate()} onClose={onClose} keep="Close">
      <p className="text-soft">Nobody is called for alerts that fit all of these. They still show here. Values of one field, with commas between them, are alternatives.</p>
      <fieldset className="grid gap-2">
        <legend className="label mb-1">Alerts whose</legend>
        {matchers.map((m, i) => (
          <div key={i} className="flex gap-1.5 items-center">
            <select className="field" aria-label={`Field ${i + 1}`} value={m.field} onChange={(e) => change(i, { field: e.target.value as Matcher["field"] })}>{fields.map((f) => <option key={f} value={f}>{word(f)}</option>)}</select>
            <span className="label">is</span>
            <input className="field grow" aria-label={`Value ${i + 1}`} value={m.value} maxLength={255} onChange={(e) => change(i, { value: e.target.value })} />
            <button type="button" className="btn" disabled={matchers.length === 1} onClick={() => setMatchers(matchers.filter((_, j) => j !== i))} aria-label={`Remove matcher ${i + 1}`}>×</button>
          </div>
        ))}
        <button type="button" className="link w-fit" onClick={() => setMatchers([...matchers, { field: "severity", value: "" }])}>One more</button>
      </fieldset>
      <Field label={old ? "From now on for" : "For"}><select className="field" value={duration} onChange={(e) => setDuration(e.target.value)}>{old && <option value="">as long as before</option>}{durations.map(([v, name]) => <option key={v} value={v}>{name}</option>)}</select></Field>
      <Field label="Reason, needed: whoever is on call next reads it"><input className="field w-full" value={reason} maxLength={1024} required onChange={(e) => setReason(e.target.value)} autoFocus /></Field>
      <p role="status" className={empty ? "text-wait" : "text-soft"}>{empty ? "! Name at least one value: an empty match would silence everything." : held ? `Of the alerts shown it holds back ${held(match)}.` : ""}</p>
    </Sheet>
  );
}

export function Silences() {
  const [search, set] = useAddress();
  const { may } = useMe();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [making, setMaking] = useState(false);
  const [changing, setChanging] = useState<Silence | null>(null);
  const [ending, setEnding] = useState<Silence | null>(null);
  const params = { state: search.state };
  const query = useQuery({ queryKey: ["silences", params], queryFn: ({ signal }) => getList<Page<Silence>>("/silences", params, signal), placeholderData: (old) => old });
  useEvery(10_000, query.refetch);
  const end = useMutation({
    mutationFn: (s: Silence) => send<void>("DELETE", `/silences/${s.id}`),
    onSuccess: (_, s) => {
      setEnding(null);
      setSaid(`Ended: ${printable(inWords(s.match))}`);
      void client.invalidateQueries({ queryKey: ["silences"] });
      void client.invalidateQueries({ queryKey: ["alerts"] });
    },
  });
  const rows = query.data?.data ?? [];
  return (
    <>
      <div className="flex flex-wrap items-end gap-x-3 gap-y-2 mb-3">
        <ChoiceFilter label="State" value={search.state} onSet={(v) => set({ state: v })} options={[["active", "active"], ["pending", "pending"], ["expired", "expired"]]} />
        {may.operateAll && <button className="btn btn-main" onClick={() => setMaking(true)}>New silence</button>}
        <span className="ml-auto"><Copy text={asCurl("/silences", params)}>Copy as curl</Copy></span>
      </div>
      <Said text={said} />
      {query.isError && <div className="mb-3"><Failed problem={query.error} again={() => void query.refetch()} /></div>}
      {!query.data ? !query.isError && <Loading /> : rows.length === 0 ? <div className="panel"><Empty title={search.state ? `No ${search.state} silence` : "Nothing is silenced"}>{may.operateAll ? "While something is being mended, a silence keeps its alerts from calling anybody." : "Making one needs the scope operate."}</Empty></div> : (
        <ul className="panel rows" aria-label="Silences">{rows.map((s) => (
          <li key={s.id} className="px-3 py-2 grid sm:grid-cols-[7rem_minmax(0,1fr)_auto] gap-x-4 gap-y-1">
            <p><Mark of={s.state} /></p>
            <div className="min-w-0"><p className="break-words">{printable(inWords(s.match))}</p>
              <p className="text-soft break-words">{printable(s.reason)} · by <span className="id">{printable(s.created_by)}</span> · {s.state === "pending" ? <>from <Time at={s.starts_at} /></> : <>since <Time at={s.starts_at} /></>} · {s.state === "expired" ? "ended" : "until"} <Time at={s.ends_at} /></p></div>
            {may.operateAll && s.state !== "expired" && <div className="flex gap-1.5 items-start sm:justify-self-end">
              <button className="btn" onClick={() => setChanging(s)} aria-label={`Change the silence of ${printable(inWords(s.match))}`}>Change…</button>
              <button className="btn" onClick={() => { end.reset(); setEnding(s); }} aria-label={`Expire the silence of ${printable(inWords(s.match))}`}>Expire</button>
            </div>}
          </li>))}</ul>
      )}
      {making && <NewSilence begin={[]} onDone={(text) => { setMaking(false); setSaid(text); }} onClose={() => setMaking(false)} />}
      {changing && <NewSilence begin={matchersOf(changing.match)} change={changing} onDone={(text) => { setChanging(null); setSaid(text); }} onClose={() => setChanging(null)} />}
      {ending && <Sheet title="Expire this silence?" action="Expire" danger busy={end.isPending} problem={end.error} onDo={() => end.mutate(ending)} onClose={() => setEnding(null)}><p>{printable(inWords(ending.match))}</p><p className="text-soft">From then on its alerts call again.</p></Sheet>}
    </>
  );
}
