// The small parts every page is made of.
import { useEffect, useRef, useState, type ReactNode } from "react";
import type { Problem } from "../api/client";
import { printable, word } from "./format";

// A state is a sign, a word and a colour, never a colour alone.
const signs: Record<string, [string, string]> = {
  pending: ["○", "text-idle"], in_progress: ["▶", "text-run"], running: ["▶", "text-run"], retrying: ["↻", "text-wait"], completed: ["✓", "text-good"], success: ["✓", "text-good"],
  failed: ["✕", "text-bad"], cancelled: ["⊘", "text-idle"], aborted: ["⊘", "text-idle"], lost: ["?", "text-lost"], resolved: ["✓", "text-good"], superseded: ["→", "text-idle"], discarded: ["⊘", "text-idle"],
  firing: ["●", "text-bad"], acknowledged: ["☑", "text-run"], silenced: ["◌", "text-idle"], active: ["●", "text-run"], expired: ["⊘", "text-idle"], revoked: ["⊘", "text-idle"],
  delivered: ["✓", "text-good"], waiting: ["↻", "text-wait"], dropped: ["⊘", "text-bad"], ready: ["✓", "text-good"], "not ready": ["✕", "text-bad"], disabled: ["⊘", "text-idle"],
  critical: ["▲", "text-bad"], high: ["▲", "text-wait"], medium: ["△", "text-idle"], error: ["✕", "text-bad"], warning: ["!", "text-wait"], info: ["·", "text-idle"], open: ["✕", "text-bad"], half_open: ["◐", "text-wait"], closed: ["✓", "text-good"],
  succeeded: ["✓", "text-good"], skipped: ["→", "text-wait"], paused: ["‖", "text-wait"], stopped: ["!", "text-bad"], ignored: ["⊘", "text-idle"], regressed: ["↺", "text-bad"],
};

export function Mark({ of }: { of: string }) {
  const [sign, colour] = signs[of] ?? ["·", "text-idle"];
  return <span className={`${colour} whitespace-nowrap`}><span aria-hidden="true" className="inline-block w-4 mr-1 text-center">{sign}</span>{word(of)}</span>;
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="px-4 py-10 text-center"><p className="font-medium">{title}</p>{children && <p className="text-soft mt-1">{children}</p>}</div>;
}

export function Failed({ problem, again }: { problem: Error; again?: () => void }) {
  const p = problem as Partial<Problem> & Error;
  return (
    <div role="alert" className="panel border-bad px-4 py-3">
      <p className="font-medium"><span aria-hidden="true" className="text-bad">✕ </span>{printable(problem.message)}</p>
      <p className="text-soft mt-1">
        {p.code && <span className="mono">{p.code}</span>}{p.requestId && <> · request <span className="id">{p.requestId}</span></>}{p.retryAfter ? <> · try again in {p.retryAfter} s</> : null}
      </p>
      {p.status === 403 && <p className="text-soft mt-1">This token may not do that. Sign in with one that has the scope, or ask who keeps the keys.</p>}
      {again && <button className="btn mt-2" onClick={again}>Try again</button>}
    </div>
  );
}

// Loading says after a while that it is the server that is waited for.
const slowMs = 5000;
export function Loading() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const t = setTimeout(() => setSlow(true), slowMs);
    return () => clearTimeout(t);
  }, []);
  return <p role="status" className="text-soft px-4 py-8 text-center">Loading…{slow && " The server takes its time; it is waited for up to 30 s."}</p>;
}

// Copy takes a text along; one that is long to write is written when it is asked for.
export function Copy({ text, children }: { text: string | (() => string); children: ReactNode }) {
  const [done, setDone] = useState(false);
  return (
    <button className="btn" onClick={() => void navigator.clipboard?.writeText(typeof text === "string" ? text : text()).then(() => { setDone(true); setTimeout(() => setDone(false), 1500); })}>
      {done ? "Copied" : children}
    </button>
  );
}

// Ask is a question before something is done. It is the browser's own dialog:
// focus stays in it and nothing has to be injected into a page whose policy allows
// no inline styles.
export function Ask({ title, children, action, danger, busy, problem, about, onDo, onClose }: {
  title: string; about?: string; children?: ReactNode; action: string; danger?: boolean; busy?: boolean; problem?: Error | null; onDo(reason: string): void; onClose(): void;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} className="ask" aria-labelledby="ask-title" onClose={onClose}>
      <form onSubmit={(e) => { e.preventDefault(); onDo(reason.trim()); }}>
        <h2 id="ask-title" className="text-base font-semibold">{title}</h2>
        <div className="mt-2 text-soft">{children}</div>
        <label className="block mt-3"><span className="label">Reason, {about ? `kept with ${about}` : "kept on the task's timeline"}</span>
          <input className="field w-full mt-1" value={reason} maxLength={1024} onChange={(e) => setReason(e.target.value)} autoFocus />
        </label>
        {problem && <div className="mt-3"><Failed problem={problem} /></div>}
        <div className="mt-4 flex justify-end gap-2">
          <button type="button" className="btn" onClick={() => ref.current?.close()}>Keep as it is</button>
          <button type="submit" disabled={busy} className={`btn ${danger ? "btn-bad" : "btn-main"}`}>{busy ? "Sending…" : action}</button>
        </div>
      </form>
    </dialog>
  );
}

// Pager walks a list by the cursors of its answers.
export function Pager({ page, go }: { page: { next_cursor: string | null; prev_cursor: string | null } | undefined; go(cursor: string | undefined): void }) {
  if (!page || (!page.prev_cursor && !page.next_cursor)) return null;
  return (
    <nav aria-label="Pages of the list" className="flex gap-2 mt-2">
      <button className="btn" disabled={!page.prev_cursor} onClick={() => go(page.prev_cursor ?? undefined)}>Newer</button>
      <button className="btn" disabled={!page.next_cursor} onClick={() => go(page.next_cursor ?? undefined)}>Older</button>
    </nav>
  );
}

// Forbidden stands where a page would be that the token may not see.
export function Forbidden({ what, scope }: { what: string; scope: string }) {
  return <div className="panel"><Empty title={`This token may not see ${what}`}>It needs the scope <span className="mono">{scope}</span>. Sign out and sign in with a token that has it.</Empty></div>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return <div className="min-w-0"><dt className="label">{name}</dt><dd className="min-w-0 break-words">{typeof children === "string" && children ? printable(children) : children || children === 0 ? children : <span className="text-soft">–</span>}</dd></div>;
}
