// Editing a task's input and running it again: the edit, then what it changes and
// why, then it is sent.
import { useMemo, useRef, useState } from "react";
import { useMutation } from "@tanstack/react-query";
import { Send, taskPath } from "../../api/client";
import type { Accepted, Task } from "../../api/types";
import { printable } from "../../ui/format";
import { apply, edit, patchOf, redacted, truncated, type Json } from "../../ui/patch";
import { Field, Sheet } from "../../ui/Sheet";
import { DiffView } from "./DiffView";
import { pretty } from "./Payloads";

const editableChars = 2_000_000; // a browser's text field is no editor for more

export function EditRetry({ task: t, onDone, onClose }: { task: Task; onDone(a: Accepted): void; onClose(): void }) {
  const input = t.input as Json | undefined;
  const cut = truncated(input);
  const before = pretty(input);
  // Of an input that is not known as a whole only the change can be said.
  const asPatch = !!cut || before.length > editableChars;
  const [text, setText] = useState(asPatch ? "{\n  \n}" : before || "{\n  \n}");
  const [checked, setChecked] = useState(false);
  const [reason, setReason] = useState("");
  const send = useRef(new Send());
  const area = useRef<HTMLTextAreaElement>(null);
  const result = useMemo(() => (asPatch ? patchOf(text) : edit(input, text)), [asPatch, input, text]);
  const fault = "fault" in result ? result.fault : "";
  const places = useMemo(() => redacted(input), [input]);
  const ask = useMutation({
    mutationFn: () => send.current.post(`${taskPath(t.task_id)}/retry`, { input_patch: (result as { patch: Json }).patch, ...(reason.trim() ? { reason: reason.trim() } : {}) }),
    onSuccess: onDone,
  });
  const format = () => {
    if ("after" in result) setText(pretty(result.after));
    area.current?.focus();
  };
  return (
    <Sheet title="Edit the input and retry" action={checked ? "Retry with this input" : "See what changes"} wide="editor" busy={ask.isPending} disabled={!!fault} problem={checked ? ask.error : null}
      onDo={() => (checked ? ask.mutate() : setChecked(true))} onClose={onClose}>
      <p className="id">{printable(t.task_id)}</p>
      {!checked ? (
        <>
          {cut && <p className="text-wait">! The input was too long to record: only the beginning of its {cut.bytes.toLocaleString("en")} bytes is known. Write what shall change as a JSON merge patch; an agent puts it onto the original.</p>}
          {!cut && asPatch && <p className="text-wait">! The input is too long for an editor here. Write what shall change as a JSON merge patch; an agent puts it onto the original.</p>}
          {places.length > 0 && !asPatch && <p className="text-soft"><span className="redacted">[redacted]</span> stands at <span className="mono break-words">{places.slice(0, 6).map(printable).join(", ")}{places.length > 6 ? " …" : ""}</span>. The original keeps what is there as long as it stays untouched here; it can be replaced as a whole, and the mark itself cannot be sent.</p>}
          <Field label={asPatch ? "Merge patch (RFC 7386): a name set to null is taken away" : "Input, JSON"} hint={<span role="status" className={fault ? (fault === "Nothing is changed yet." ? "" : "text-bad") : "text-good"}>{fault ? `${fault === "Nothing is changed yet." ? "" : "✕ "}${printable(fault)}` : "✓ JSON, and it can be sent"}</span>}>
            <textarea className="field w-full mono editor" ref={area} rows={14} spellCheck={false} autoCapitalize="off" autoComplete="off" value={text} aria-invalid={fault && fault !== "Nothing is changed yet." ? true : undefined} onChange={(e) => setText(e.target.value)} autoFocus />
          </Field>
          <p className="flex flex-wrap gap-2"><button type="button" className="btn" disabled={!("after" in result)} onClick={format}>Format</button><button type="button" className="btn" disabled={text === before} onClick={() => setText(asPatch ? "{\n  \n}" : before || "{\n  \n}")}>Start over</button></p>
        </>
      ) : (
        <>
          {"patch" in result && (asPatch ? <pre className="code" tabIndex={0} aria-label="Merge patch">{pretty(result.patch)}</pre> : <DiffView before={before} after={pretty(apply(input, result.patch))} label="What the edit changes" />)}
          {"patch" in result && !asPatch && <details><summary className="link cursor-pointer">What is sent: a merge patch</summary><pre className="code mt-1" tabIndex={0}>{pretty(result.patch)}</pre></details>}
          <p className="text-soft">It runs as run {t.run + 1}, with the original input changed so, under an idempotency key of its own: what it did before it may do again.</p>
          <Field label="Reason, kept on the task's timeline"><input className="field w-full" value={reason} maxLength={1024} onChange={(e) => setReason(e.target.value)} autoFocus /></Field>
          <p><button type="button" className="link" onClick={() => setChecked(false)}>Back to the edit</button></p>
        </>
      )}
    </Sheet>
  );
}
