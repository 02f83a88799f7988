// One attempt: what it came to, its error and stack, and what is different from the
// attempt before.
import { Link } from "@tanstack/react-router";
import type { Attempt } from "../../api/types";
import { duration, printable, printableLines, why, word } from "../../ui/format";
import { Copy, Fact, Mark } from "../../ui/parts";
import { Time } from "../../ui/prefs";
import { proof } from "../../ui/stop";
import { against, differences, longer } from "../../ui/troubles";
import { DiffView } from "./DiffView";
import type { Usual } from "./rows";

export function AttemptDetail({ attempt: a, before, usual, onClose }: { attempt: Attempt; before: Attempt | undefined; usual: Usual | undefined; onClose(): void }) {
  const e = a.error;
  const other = before ? differences(before, a) : [];
  const stack = before?.error?.stack !== e?.stack && !!(before?.error?.stack || e?.stack);
  const time = before ? longer(before, a) : "";
  return (
    <section className="border-t border-line px-3 py-3 grid gap-3" aria-label={`Attempt ${a.attempt} of run ${a.run}`} data-attempt={`${a.run}.${a.attempt}`}>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1"><h3 className="font-medium">Attempt {a.attempt} of run {a.run}</h3><Mark of={a.outcome} />{a.abort_reason && <span className="text-soft">{printable(proof(a.abort_reason))}</span>}
        <span className="ml-auto flex gap-1.5">{e && <Copy text={[e.kind, e.message, e.stack].filter(Boolean).join("\n")}>Copy error</Copy>}<button className="btn" onClick={onClose}>Close</button></span></div>
      <dl className="grid grid-cols-2 sm:grid-cols-4 gap-x-6 gap-y-3">
        <Fact name="Began"><Time at={a.started_at} /></Fact>
        <Fact name="Took">{a.duration_ms !== undefined && <>{duration(a.duration_ms)}{against(a.duration_ms, usual) && <span className="label block">{against(a.duration_ms, usual)}</span>}</>}</Fact>
        <Fact name="Before it">{a.wait ? <>{duration(a.wait.delay_ms)}<span className="label block">{why(a.wait)}</span></> : "no wait"}</Fact>
        <Fact name="Where">{[a.agent && printable(a.agent), a.breaker?.state && `breaker ${word(a.breaker.state)}`].filter(Boolean).join(" · ")}</Fact>
      </dl>
      {e ? (
        <div><p className="label">Error</p><p className="break-words"><span className="text-bad">✕ {printable(e.kind ?? "error")}</span> {printable(e.message ?? "")}</p>
          <p className="text-soft">{[e.class, e.code && `code ${e.code}`].filter(Boolean).join(" · ")} {e.fingerprint && <Link to="/dead-letters" search={{ fingerprint: e.fingerprint, status: "any" } as never} className="link id">{e.fingerprint}</Link>}</p>
          {e.stack ? <pre className="code mt-2" tabIndex={0} aria-label="Stack">{printableLines(e.stack)}</pre> : <p className="text-soft mt-1">No stack came with it.</p>}</div>
      ) : a.outcome === "running" ? <p className="text-soft">It runs.</p> : <p className="text-soft">No error.</p>}
      {before && (
        <div aria-label="Difference from the attempt before" role="group"><p className="label mb-1">Against attempt {before.attempt} of run {before.run}</p>
          {!other.length && !stack && <p>{e ? "The same error again" : "The same outcome"}{time ? `, ${time}` : ""}.</p>}
          {(other.length > 0 || stack) && <dl className="rows panel">{other.map((d) => <div key={d.what} className="px-3 py-1.5 grid sm:grid-cols-[7rem_minmax(0,1fr)_minmax(0,1fr)] gap-x-3"><dt className="label">{d.what}</dt><dd className="break-words text-bad"><span aria-hidden="true">− </span><span className="sr-only">before: </span>{d.before ? printable(d.before) : "none"}</dd><dd className="break-words text-good"><span aria-hidden="true">+ </span><span className="sr-only">now: </span>{d.after ? printable(d.after) : "none"}</dd></div>)}{time && <div className="px-3 py-1.5 grid sm:grid-cols-[7rem_minmax(0,1fr)] gap-x-3"><dt className="label">Duration</dt><dd>{time}</dd></div>}</dl>}
          {stack && <div className="mt-2"><DiffView before={before.error?.stack ?? ""} after={e?.stack ?? ""} label="Stack against the one before" /></div>}
        </div>
      )}
    </section>
  );
}
