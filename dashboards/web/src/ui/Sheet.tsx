// A dialog with a form in it. It is the browser's own, which keeps the focus and
// needs no style that the policy refuses.
import { cloneElement, useEffect, useId, useRef, useState, type ReactElement, type ReactNode } from "react";
import { Failed } from "./parts";

export function Sheet({ title, action, danger, busy, disabled, problem, keep = "Keep as it is", wide, onDo, onClose, children }: {
  title: string; action?: string; danger?: boolean; busy?: boolean; disabled?: boolean; problem?: Error | null; keep?: string; wide?: boolean | "editor"; onDo?(): void; onClose(): void; children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} className={`ask ${wide === "editor" ? "ask-editor" : wide ? "ask-wide" : ""}`} aria-labelledby="sheet-title" onClose={onClose}>
      <form onSubmit={(e) => { e.preventDefault(); onDo?.(); }}>
        <h2 id="sheet-title" className="text-base font-semibold">{title}</h2>
        <div className="mt-2 grid gap-3">{children}</div>
        {problem && <div className="mt-3"><Failed problem={problem} /></div>}
        <div className="mt-4 flex justify-end gap-2">
          <button type="button" className="btn" onClick={() => ref.current?.close()}>{keep}</button>
          {action && <button type="submit" disabled={busy || disabled} className={`btn ${danger ? "btn-bad" : "btn-main"}`}>{busy ? "Sending…" : action}</button>}
        </div>
      </form>
    </dialog>
  );
}

// Reasoned asks before something is done and wants to know why.
export function Reasoned({ title, action, danger, label, busy, problem, onDo, onClose, children }: {
  title: string; action: string; danger?: boolean; label: string; busy?: boolean; problem?: Error | null; onDo(reason: string): void; onClose(): void; children?: ReactNode;
}) {
  const [reason, setReason] = useState("");
  return (
    <Sheet title={title} action={action} danger={danger} busy={busy} problem={problem} onDo={() => onDo(reason.trim())} onClose={onClose}>
      {children}
      <Field label={label}><input className="field w-full" value={reason} maxLength={1024} onChange={(e) => setReason(e.target.value)} autoFocus /></Field>
    </Sheet>
  );
}

// Field puts a label to one input or select, and below it a hint and what is wrong.
export function Field({ label, hint, wrong, children }: { label: string; hint?: ReactNode; wrong?: string; children: ReactElement<{ id?: string; "aria-describedby"?: string; "aria-invalid"?: boolean }> }) {
  const id = useId();
  const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ");
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="label block mb-1">{label}</label>
      {cloneElement(children, { id, "aria-describedby": described || undefined, "aria-invalid": wrong ? true : undefined })}
      {hint && <p id={`${id}-hint`} className="label mt-0.5">{hint}</p>}
      {wrong && <p id={`${id}-wrong`} role="alert" className="text-bad mt-0.5 break-words"><span aria-hidden="true">✕ </span>{wrong}</p>}
    </div>
  );
}

// Said tells what was done, also to those who listen.
export function Said({ text }: { text: string }) {
  return <p role="status" className={text ? "panel px-3 py-1.5 mb-3" : "sr-only"}>{text && <><span aria-hidden="true" className="text-good">✓ </span>{text}</>}</p>;
}
