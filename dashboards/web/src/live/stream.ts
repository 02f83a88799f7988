// A tab's end of the live updates: it says what it shows, and hears what happens. The
// stream itself is the browser's, held by a worker that all tabs share.
import { apiURL } from "../api/client";
import type { State, Task, TimelineEvent } from "../api/types";
import { Hub, type Bye, type Hello, type Said } from "./hub";

// What is published and never stored travels here too.
export type LiveEvent = Omit<TimelineEvent, "type"> & { type: TimelineEvent["type"] | "task_progress" | "task_heartbeat" };
export type Update = { topic: string; task_id: string; events: LiveEvent[]; task?: { state?: State; run?: number; attempt?: number; progress?: Task["progress"] | null }; row?: Task };
export type Snapshot = { topics: { topic: string; task?: Task; tasks?: Task[]; truncated?: boolean }[] };
export type Status = "connecting" | "live" | "stale" | "paused";
type Handlers = { snapshot(s: Snapshot): void; updates(u: Update[]): void; alerts(): void; again(): void; refused(): void; status(s: Status): void };

const sayMs = 20_000; // the hub forgets a tab that says nothing

function reach(hear: (m: Said) => void): (m: Hello | Bye) => void {
  const own = () => {
    const hub = new Hub();
    return (m: Hello | Bye) => hub.hear({ say: hear }, m);
  };
  if (typeof SharedWorker === "undefined") return own();
  let last: Hello | Bye | undefined;
  let send: (m: Hello | Bye) => void;
  try {
    const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "tasktrail-live" });
    let answered = false;
    worker.port.onmessage = (e: MessageEvent<Said>) => { answered = true; hear(e.data); };
    // A worker that cannot be had is done without.
    worker.onerror = () => {
      if (answered) return;
      send = own();
      if (last) send(last);
    };
    send = (m) => worker.port.postMessage(m);
  } catch {
    return own();
  }
  return (m) => { last = m; send(m); };
}

// follow joins the stream and returns how to change the topics and how to leave.
export function follow(who: string, on: Handlers): { topics(t: string[]): void; end(): void } {
  let topics: string[] = [];
  const url = apiURL("/stream");
  const send = reach((m) => {
    if (m.kind === "status") on.status(document.hidden ? "paused" : m.status);
    else if (m.kind === "snapshot") on.snapshot(m.snapshot);
    else if (m.kind === "updates") on.updates(m.updates);
    else if (m.kind === "alerts") on.alerts();
    else if (m.kind === "again") on.again();
    else on.refused();
  });
  const hello = () => { if (topics.length) send({ kind: "hello", who, url, topics, visible: !document.hidden }); };
  const look = () => {
    hello();
    if (document.hidden) on.status("paused");
  };
  const bye = () => send({ kind: "bye" });
  const say = setInterval(hello, sayMs);
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", bye);
  addEventListener("pageshow", hello);
  // A stream that was refused is asked for again by whoever may have it now.
  addEventListener("tasktrail:signed-in", hello);
  return {
    topics(t) {
      if (t.length === topics.length && t.every((x, i) => x === topics[i])) return;
      topics = t;
      hello();
    },
    end() {
      clearInterval(say);
      document.removeEventListener("visibilitychange", look);
      removeEventListener("pagehide", bye);
      removeEventListener("pageshow", hello);
      removeEventListener("tasktrail:signed-in", hello);
      bye();
    },
  };
}
