// One connection for live updates. It says how it stands, comes back by itself,
// and rests while nobody looks.
import { apiURL, get } from "../api/client";
import type { State, Task, TimelineEvent } from "../api/types";

// What is published and never stored travels here too.
export type LiveEvent = Omit<TimelineEvent, "type"> & { type: TimelineEvent["type"] | "task_progress" | "task_heartbeat" };
export type Update = { topic: string; task_id: string; events: LiveEvent[]; task?: { state?: State; run?: number; attempt?: number; progress?: Task["progress"] | null }; row?: Task };
export type Snapshot = { topics: { topic: string; task?: Task; tasks?: Task[]; truncated?: boolean }[] };
export type Status = "connecting" | "live" | "stale" | "paused";
type Handlers = { snapshot(s: Snapshot): void; updates(u: Update[]): void; status(s: Status): void };

const gatherMs = 200; // updates are handed on together, five times a second at most
const restAfterMs = 20_000;

// follow opens the stream of some topics and returns what ends it.
export function follow(topics: string[], on: Handlers): () => void {
  let source: EventSource | undefined;
  let waiting: Update[] = [];
  let gather: ReturnType<typeof setTimeout> | undefined;
  let rest: ReturnType<typeof setTimeout> | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;
  let tries = 0;

  const hand = () => {
    gather = undefined;
    const all = waiting;
    waiting = [];
    if (all.length) on.updates(all);
  };
  const close = () => {
    source?.close();
    source = undefined;
    clearTimeout(again);
  };
  const open = () => {
    close();
    on.status("connecting");
    const s = new EventSource(apiURL("/stream", { topics: topics.join(",") }));
    source = s;
    s.onopen = () => {
      tries = 0;
      on.status("live");
    };
    s.addEventListener("snapshot", (e) => {
      waiting = [];
      on.snapshot(JSON.parse((e as MessageEvent<string>).data) as Snapshot);
    });
    s.addEventListener("update", (e) => {
      waiting.push(JSON.parse((e as MessageEvent<string>).data) as Update);
      gather ??= setTimeout(hand, gatherMs);
    });
    // Dropped updates cannot be told one by one: a new stream begins with a snapshot.
    s.addEventListener("missed", open);
    s.onerror = () => {
      on.status("stale");
      // The browser comes back by itself, with Last-Event-ID, unless it was refused.
      if (s.readyState !== EventSource.CLOSED) return;
      close();
      void get("/whoami").catch(() => undefined);
      again = setTimeout(open, Math.min(30_000, 1000 * 2 ** tries++));
    };
  };
  const look = () => {
    clearTimeout(rest);
    if (!document.hidden) {
      if (!source) open();
      return;
    }
    rest = setTimeout(() => {
      close();
      on.status("paused");
    }, restAfterMs);
  };
  document.addEventListener("visibilitychange", look);
  if (!document.hidden) open();
  else on.status("paused");
  return () => {
    document.removeEventListener("visibilitychange", look);
    clearTimeout(rest);
    clearTimeout(gather);
    close();
  };
}
