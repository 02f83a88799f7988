// What went in and what came out, and what operators changed of it.
import { useMemo, useState } from "react";
import type { Entry, Task, TimelineEvent } from "../../api/types";
import { printable, printableLines } from "../../ui/format";
import { apply, mark, redacted, truncated, type Json } from "../../ui/patch";
import { Copy } from "../../ui/parts";
import { Time } from "../../ui/prefs";
import { DiffView } from "./DiffView";

const shownChars = 200_000;

export const pretty = (v: unknown) => (v === undefined || v === null ? "" : typeof v === "string" ? v : JSON.stringify(v, null, 2));

// Marked shows a text with what was taken out of it set off.
function Marked({ text }: { text: string }) {
  const parts = text.split(mark);
  return <>{parts.map((p, i) => <span key={i}>{i > 0 && <span className="redacted" title="taken out before it was recorded">{mark}</span>}{printableLines(p)}</span>)}</>;
}

function Payload({ name, value, omitted, hint }: { name: "input" | "output"; value: unknown; omitted: boolean; hint?: string }) {
  const [whole, setWhole] = useState(false);
  const cut = truncated(value);
  // Megabytes: made into text once, not at every tick of a clock.
  const copied = useMemo(() => pretty(value), [value]);
  const text = cut ? cut.preview : copied;
  const shown = !whole && text.length > shownChars ? text.slice(0, shownChars) : text;
  const places = useMemo(() => redacted(value), [value]);
  return (
    <section className="panel overflow-hidden">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2 border-b border-line"><h3 className="font-medium capitalize">{name}</h3>{text && <span className="label">{copied.length.toLocaleString("en")} characters{hint ? ` · ${hint}` : ""}</span>}{text && <span className="ml-auto"><Copy text={copied}>Copy {name}</Copy></span>}</div>
      {omitted ? <p className="text-wait px-3 py-2">! There is an {name}, and this token may not see it: it needs the scope read:payload.</p> : !text ? <p className="text-soft px-3 py-2">None on record.</p> : (
        <>
          {places.length > 0 && <p className="px-3 pt-2 text-soft"><span className="redacted">{mark}</span> {places.length === 1 ? "One part was" : `${places.length} parts were`} taken out before it was recorded: <span className="mono">{places.slice(0, 8).map(printable).join(", ")}{places.length > 8 ? " …" : ""}</span></p>}
          {cut && <p className="px-3 pt-2 text-wait">! Cut: this is the beginning of {cut.bytes.toLocaleString("en")} bytes, the rest is not on record.</p>}
          <pre className="code !rounded-none !bg-transparent" tabIndex={0} aria-label={name}><Marked text={shown} /></pre>
          {shown.length < text.length && <p className="text-wait px-3 py-2 border-t border-line">! Only the first {shownChars.toLocaleString("en")} of {text.length.toLocaleString("en")} characters; copying takes all. <button className="link" onClick={() => setWhole(true)}>Show all</button></p>}
        </>
      )}
    </section>
  );
}

type Asked = TimelineEvent & { operator: NonNullable<TimelineEvent["operator"]> };
// editsOf are the retries that changed the input, oldest first.
export const editsOf = (entries: Entry[]): Asked[] => entries.filter((e): e is Asked => e.type === "dlq_retry_requested" && !!e.operator && (e.operator.input_patch !== undefined || !!e.operator.input_sha256_after || !!e.omitted?.includes("operator.input_patch")));

function Hash({ name, hex }: { name: string; hex: string | undefined }) {
  return <p className="min-w-0 flex gap-2"><span className="label w-28 shrink-0">{name}</span>{hex ? <span className="id min-w-0" title={hex}>{hex}</span> : <span className="text-soft">known to the agent alone: the original is sealed</span>}</p>;
}

function EditOf({ e, input }: { e: Asked; input: unknown }) {
  const patch = e.operator.input_patch as Json | undefined;
  const before = (e.input ?? input) as Json | undefined;
  const cut = truncated(before) !== undefined;
  return (
    <section className="panel overflow-hidden" aria-label={`Edit for run ${e.run}`}>
      <div className="px-3 py-2 border-b border-line"><h3 className="font-medium"><span aria-hidden="true" className="text-accent">✎ </span>Edited for run {e.run}</h3>
        <p className="text-soft break-words">by {printable(e.operator.actor ?? "")} <Time at={e.occurred_at} />{e.operator.reason ? `: ${printable(e.operator.reason)}` : ", without a reason"}</p></div>
      <div className="px-3 py-2 grid gap-1"><Hash name="SHA-256 before" hex={e.operator.input_sha256_before} /><Hash name="SHA-256 after" hex={e.operator.input_sha256_after} /></div>
      <div className="px-3 pb-3">
        {patch === undefined ? <p className="text-wait">! What was changed needs the scope read:payload.</p> : cut || before === undefined || before === null ? <><p className="label mb-1">Put onto the original, of which only a part is on record:</p><pre className="code" tabIndex={0} aria-label="Merge patch">{printableLines(pretty(patch))}</pre></> : <DiffView before={pretty(before)} after={pretty(apply(before, patch))} label={`What the edit for run ${e.run} changed`} />}
      </div>
    </section>
  );
}

export function Payloads({ task: t, entries }: { task: Task; entries: Entry[] }) {
  const edits = editsOf(entries);
  return (
    <div className="grid gap-3">
      {[...edits].reverse().map((e) => <EditOf key={e.event_id} e={e} input={t.input} />)}
      <Payload name="input" value={t.input} omitted={!!t.omitted?.includes("input")} hint={edits.length ? "as it was first recorded" : undefined} />
      <Payload name="output" value={t.output} omitted={!!t.omitted?.includes("output")} />
    </div>
  );
}
