// What became of a text, line by line: signs beside the colours.
import { useMemo } from "react";
import { printable } from "../../ui/format";
import { lines, near } from "../../ui/diff";

const shown = { same: [" ", "", "unchanged"], gone: ["−", "bg-bad/10 text-bad", "taken out"], new: ["+", "bg-good/10 text-good", "put in"] } as const;

export function DiffView({ before, after, label }: { before: string; after: string; label: string }) {
  const all = useMemo(() => near(lines(before, after)), [before, after]);
  if (before === after) return <p className="text-soft">No difference.</p>;
  return (
    <pre className="code !p-0 py-1.5" tabIndex={0} role="region" aria-label={label}>
      {all.map((l, i) => l.kind === "skipped" ? <span key={i} className="block px-3 text-soft">⋮ {l.text}</span> : <span key={i} className={`block pl-7 pr-3 -indent-4 ${shown[l.kind][1]}`}><span aria-hidden="true" className="inline-block w-4 indent-0">{shown[l.kind][0]}</span>{l.kind !== "same" && <span className="sr-only">{shown[l.kind][2]}: </span>}{printable(l.text)}</span>)}
    </pre>
  );
}
