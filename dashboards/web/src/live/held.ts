// What came while a question was open, together for each task, to be shown when it is
// answered. However long that takes, it holds no more than so many.
import type { Update } from "./stream";

const maxHeld = 2500;
const maxEvents = 50; // of one task; the state that came with the last stands for the rest

// join is what two updates of one task say together.
export const join = (a: Update, b: Update): Update => ({ ...b, events: [...a.events, ...b.events].slice(-maxEvents), row: b.row ?? a.row });

export class Held {
  #by = new Map<string, Update>();
  #missed = false;

  add(updates: Update[]) {
    for (const u of updates) {
      const key = `${u.topic} ${u.task_id}`;
      const have = this.#by.get(key);
      if (have) this.#by.set(key, join(have, u));
      else if (this.#by.size < maxHeld) this.#by.set(key, u);
      else this.#missed = true;
    }
  }

  // release hands out what is held, and whether there was more than that.
  release(): { updates: Update[]; missed: boolean } {
    const out = { updates: [...this.#by.values()], missed: this.#missed };
    this.#by.clear();
    this.#missed = false;
    return out;
  }
}
