// Reading a task's timeline. A long one that goes on is read anew from near its end
// only: most of what is known stays as it is, and so does what is drawn of it.
import { getList, Problem, taskPath } from "./client";
import type { Entry, Page } from "./types";

// Known is what was read, and when all of it was.
export type Known = { entries: Entry[]; wholeAt: number };

const longFrom = 1000; // a shorter one is read whole each time
const overlap = 200; // what arrives late stands before the end
const wholeEveryMs = 300_000; // and later still than that is seen by then

const idOf = (e: Entry) => ("event_id" in e ? e.event_id : undefined);

// from is the place of the event behind which a known timeline is read anew, or -1
// where all of it has to be.
export function from(known: Known | undefined, now: number): number {
  if (!known || known.entries.length < longFrom || now - known.wholeAt > wholeEveryMs) return -1;
  for (let i = known.entries.length - overlap; i >= 0; i--) if (idOf(known.entries[i]!)) return i;
  return -1;
}

// join is what was known up to a place and what stands behind it now. What did not
// change is the same object.
export function join(known: Entry[], upTo: number, tail: Entry[]): Entry[] {
  const before = new Map(known.slice(upTo + 1).map((e) => [idOf(e), e]));
  const next = tail.map((e) => (idOf(e) ? (before.get(idOf(e)) ?? e) : e));
  if (next.length === known.length - upTo - 1 && next.every((e, i) => e === known[upTo + 1 + i])) return known;
  return [...known.slice(0, upTo + 1), ...next];
}

export async function readTimeline(id: string, known: Known | undefined, signal: AbortSignal): Promise<Known> {
  const now = Date.now();
  const path = `${taskPath(id)}/timeline`;
  const at = from(known, now);
  if (known && at >= 0) {
    try {
      const tail = await getList<Page<Entry>>(path, { after: idOf(known.entries[at]!) }, signal);
      return { entries: join(known.entries, at, tail.data), wholeAt: known.wholeAt };
    } catch (e) {
      // The event is gone, as retention has it: all is read.
      if (!(e instanceof Problem && e.status === 400)) throw e;
    }
  }
  return { entries: (await getList<Page<Entry>>(path, {}, signal)).data, wholeAt: now };
}
