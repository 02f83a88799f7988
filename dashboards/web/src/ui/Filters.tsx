// The fields of a filter. What is typed goes into the address after a pause, so
// that a question is not asked for every letter.
import { useEffect, useId, useRef, useState, type ReactNode } from "react";

const pauseMs = 350;

type Common = { label: string; value: string | undefined; wrong?: string; onSet(v: string | undefined): void };

export function TextFilter({ label, value, wrong, onSet, type = "text", placeholder, suggest, search, pattern, inputMode }: Common & { type?: string; placeholder?: string; suggest?: string[]; search?: boolean; pattern?: string; inputMode?: "numeric" }) {
  const [text, setText] = useState(value ?? "");
  const given = useRef(value ?? "");
  const id = useId();
  useEffect(() => {
    // The address was changed by somebody else: a cleared filter, the back button.
    if ((value ?? "") !== given.current) setText(value ?? "");
    given.current = value ?? "";
  }, [value]);
  const put = (v: string) => {
    const t = v.trim();
    if (t === given.current) return;
    given.current = t;
    onSet(t || undefined);
  };
  useEffect(() => {
    const t = setTimeout(() => put(text), pauseMs);
    return () => clearTimeout(t);
    // put reads what is current by itself.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [text]);
  return (
    <Labelled label={label} wrong={wrong} id={id}>
      <input id={id} className="field w-full" type={type} inputMode={inputMode} pattern={pattern} placeholder={placeholder} list={suggest?.length ? `${id}-list` : undefined} aria-invalid={wrong ? true : undefined} aria-describedby={wrong ? `${id}-wrong` : undefined} {...(search ? { "data-search": "" } : {})}
        value={text} maxLength={512} onChange={(e) => setText(e.target.value)} onKeyDown={(e) => e.key === "Enter" && put(text)} />
      {suggest?.length ? <datalist id={`${id}-list`}>{suggest.map((s) => <option key={s} value={s} />)}</datalist> : null}
    </Labelled>
  );
}

export function ChoiceFilter({ label, value, wrong, onSet, any = "any", options }: Common & { any?: string; options: readonly (readonly [string, string])[] }) {
  const id = useId();
  return (
    <Labelled label={label} wrong={wrong} id={id}>
      <select id={id} className="field w-full" value={value ?? ""} onChange={(e) => onSet(e.target.value || undefined)}>
        <option value="">{any}</option>{options.map(([v, name]) => <option key={v} value={v}>{name}</option>)}
      </select>
    </Labelled>
  );
}

// TimeFilter shows and takes local time; the address holds it as the API wants it.
export function TimeFilter({ label, value, wrong, onSet }: Common) {
  const id = useId();
  const at = value ? new Date(value) : undefined;
  const local = at && !Number.isNaN(at.getTime()) ? new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : "";
  return (
    <Labelled label={label} wrong={wrong} id={id}>
      <input id={id} className="field w-full" type="datetime-local" step={1} value={local} onChange={(e) => onSet(e.target.value ? new Date(e.target.value).toISOString() : undefined)} />
    </Labelled>
  );
}

function Labelled({ label, wrong, id, children }: { label: string; wrong?: string; id: string; children: ReactNode }) {
  return <div className="min-w-0"><label htmlFor={id} className="label block mb-0.5">{label}</label>{children}{wrong && <p id={`${id}-wrong`} className="text-bad text-[12px]"><span aria-hidden="true">✕ </span>{wrong}</p>}</div>;
}
