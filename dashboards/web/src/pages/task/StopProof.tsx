// How a cancel goes: requested, delivered, acknowledged, stopped.
import { useMemo } from "react";
import type { Entry } from "../../api/types";
import { printable } from "../../ui/format";
import { Time } from "../../ui/prefs";
import { stopSteps } from "../../ui/stop";

const signs = { done: ["✓", "text-good"], waiting: ["○", "text-soft"], not: ["!", "text-wait"] } as const;

export function StopProof({ entries }: { entries: Entry[] }) {
  const steps = useMemo(() => stopSteps(entries), [entries]);
  if (!steps.length) return null;
  return (
    <section className="panel px-3 py-2.5" aria-label="How the cancel goes">
      <h3 className="label mb-1.5">Cancel</h3>
      <ol className="grid sm:grid-cols-4 gap-x-4 gap-y-2">
        {steps.map((s) => <li key={s.name} data-stop={s.state}><p><span aria-hidden="true" className={`inline-block w-5 ${signs[s.state][1]}`}>{signs[s.state][0]}</span><span className="font-medium">{s.name}</span>{s.state === "waiting" && <span className="text-soft"> not yet</span>}{s.at && <span className="text-soft"> <Time at={s.at} /></span>}</p>{s.text && <p className="text-soft pl-5 break-words">{printable(s.text)}</p>}</li>)}
      </ol>
    </section>
  );
}
