// What became of what somebody asked for here: it is followed until it is over.
import type { DeadLetter, Entry, Task } from "../../api/types";
import { followed, type Did } from "../../ui/followed";
import { printable } from "../../ui/format";
import { Time } from "../../ui/prefs";

const signs = { done: ["✓", "text-good"], waiting: ["○", "text-soft"], bad: ["✕", "text-bad"] } as const;
const titles = { retry: "Retried", edit: "Edited and retried", cancel: "Cancel asked for", discard: "Discarded" } as const;

export function Followed({ did, task, entries, letter, onClose }: { did: Did; task: Task; entries: Entry[]; letter: DeadLetter | undefined; onClose(): void }) {
  const steps = followed(did, entries, letter);
  return (
    <section className="panel border-accent px-3 py-2.5 mb-3" aria-label="What became of it" data-did={did.verb}>
      <div className="flex items-center gap-3"><h2 className="font-medium">{titles[did.verb]}{did.verb === "retry" || did.verb === "edit" ? `: run ${did.run}` : ""}</h2>{task.run > did.run && <span className="label">there is a later run, {task.run}</span>}<button className="btn ml-auto" onClick={onClose}>Close</button></div>
      <div role="status"><ol className="flex flex-wrap gap-x-6 gap-y-1 mt-1.5">
        {steps.map((s) => <li key={s.what} data-step={s.state} className="min-w-0"><span aria-hidden="true" className={`inline-block w-5 ${signs[s.state][1]}`}>{signs[s.state][0]}</span><span className={s.state === "waiting" ? "text-soft" : ""}>{s.what}</span>{s.at && <span className="text-soft"> <Time at={s.at} /></span>}{s.more && <span className="text-soft break-words"> · {printable(s.more)}</span>}</li>)}
      </ol></div>
    </section>
  );
}
