// What the stream says goes into the cache that every page reads from.
import { createContext, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import type { Principal, Task } from "../api/types";
import { get } from "../api/client";
import { asking } from "../ui/every";
import { Held } from "./held";
import { merge, prune } from "./merge";
import { follow, type Snapshot, type Status, type Update } from "./stream";

type Live = { status: Status; truncated: boolean };
const Context = createContext<Live>({ status: "connecting", truncated: false });
export const useLive = () => useContext(Context);
export const activeKey = ["active"] as const;

const Rows = createContext<(ids: string[]) => void>(() => undefined);
// useRows names the tasks whose attempts and progress are looked at: the topic of all
// tasks carries neither.
export function useRows(ids: string[]) {
  const set = useContext(Rows);
  const key = JSON.stringify(ids);
  useEffect(() => set(JSON.parse(key) as string[]), [key, set]);
  useEffect(() => () => set([]), [set]);
}
const Alerting = createContext<(look: boolean) => void>(() => undefined);
// useAlerts says that alerts are looked at: they are read anew when one changes.
export function useAlerts() {
  const look = useContext(Alerting);
  useEffect(() => {
    look(true);
    return () => look(false);
  }, [look]);
}
const maxRows = 40;
const readableMs = 1500;
const alertsMs = 2500; // alerts of other processes are read a little later than told

// paced calls f at once and then at most every ms, with everything asked for since.
function paced(f: (ids: Set<string>) => void, ms: number) {
  let ids = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = () => {
    timer = undefined;
    if (!ids.size) return;
    const all = ids;
    ids = new Set();
    timer = setTimeout(run, ms);
    f(all);
  };
  return {
    add(more: Iterable<string>) {
      for (const id of more) ids.add(id);
      if (!timer) run();
    },
    end: () => clearTimeout(timer),
  };
}

const whoIs = (p: Principal | undefined) => JSON.stringify([p?.id, p?.namespace, p?.user_id]);
const passing = new Set(["task_progress", "task_heartbeat"]);

function put(client: QueryClient, updates: Update[]) {
  client.setQueryData<Task[]>(activeKey, (rows) => rows && merge(rows, updates));
  for (const u of updates) {
    const progress = u.task?.progress;
    if (progress && client.getQueryData(["task", u.task_id, "folded"])) client.setQueryData<Task>(["task", u.task_id, "folded"], (t) => t && { ...t, progress });
  }
}

export function LiveProvider({ task, children }: { task?: string; children: ReactNode }) {
  const client = useQueryClient();
  const [live, setLive] = useState<Live>({ status: "connecting", truncated: false });
  const shown = useRef<{ task?: string; rows: string[]; alerts?: boolean; tell(): void }>({ rows: [], tell: () => undefined });
  const setRows = useMemo(() => (ids: string[]) => {
    shown.current.rows = ids.slice(0, maxRows);
    shown.current.tell();
  }, []);
  const setAlerts = useMemo(() => (look: boolean) => {
    shown.current.alerts = look;
    shown.current.tell();
  }, []);
  useEffect(() => {
    const who = whoIs(client.getQueryData<Principal>(["whoami"]));
    // What comes under an open question waits.
    const held = new Held();
    const tasks = paced((ids) => void client.invalidateQueries({ predicate: (q) => q.queryKey[0] === "task" && ids.has(String(q.queryKey[1])) }), 1000);
    const letters = paced(() => void client.invalidateQueries({ queryKey: ["dead-letters"] }), 2000);
    const alerts = paced(() => anew(["alerts"]), 1000);
    const take = (updates: Update[]) => {
      put(client, updates);
      const settled = updates.filter((u) => u.row || u.events.some((e) => !passing.has(e.type)));
      if (settled.length) {
        const ids = settled.map((u) => u.task_id);
        tasks.add(ids);
        // News runs ahead of what can be read, and the last may be read too early.
        setTimeout(() => tasks.add(ids), readableMs);
      }
      if (settled.some((u) => u.row || u.events.some((e) => /^(moved_to_dlq|dlq_|task_completed|task_cancelled)/.test(e.type)))) letters.add(["all"]);
    };
    const anew = (keys: string[]) => {
      const read = () => (asking() ? setTimeout(read, 1000) : keys.forEach((k) => void client.invalidateQueries({ queryKey: [k] })));
      read();
    };
    const release = () => {
      if (asking()) return;
      const { updates, missed } = held.release();
      if (updates.length) take(updates);
      if (missed) anew(["active", "task", "dead-letters"]);
    };
    const closed = () => queueMicrotask(release);
    document.addEventListener("close", closed, true);
    const sweep = setInterval(() => {
      release();
      if (!asking()) client.setQueryData<Task[]>(activeKey, (rows) => rows && prune(rows, Date.now()));
    }, 1000);
    const stream = follow(who, {
      // Signed out, which the answer to this says, or another than this page was made for.
      refused: () => void get<Principal>("/whoami").then((p) => whoIs(p) !== who && location.reload(), () => undefined),
      status: (status) => setLive((l) => (l.status === status ? l : { ...l, status })),
      updates: (u) => {
        if (asking()) held.add(u);
        else take(u);
      },
      alerts: () => {
        alerts.add(["all"]);
        setTimeout(() => alerts.add(["all"]), alertsMs);
      },
      again: () => anew(["active", "task", "dead-letters", "alerts"]),
      snapshot: (s: Snapshot) => {
        const all = s.topics.find((t) => t.topic === "tasks");
        if (all) setLive((l) => (l.truncated === !!all.truncated ? l : { ...l, truncated: !!all.truncated }));
        const rows = s.topics.flatMap((t) => [...(t.tasks ?? []), ...(t.task ? [t.task] : [])]);
        // The task a page shows may have ended between two streams.
        tasks.add(s.topics.filter((t) => t.topic.includes("task:")).flatMap((t) => (t.task ? [t.task.task_id] : [])));
        const updates = rows.map((row): Update => ({ topic: "", task_id: row.task_id, events: [], row }));
        if (asking()) held.add(updates);
        else put(client, updates);
      },
    });
    shown.current.tell = () => {
      const { task: t, rows, alerts: look } = shown.current;
      stream.topics(["tasks", ...(look ? ["alerts"] : []), ...(t ? [`task:${t}`] : []), ...rows.filter((r) => r !== t).map((r) => `task:${r}`)]);
    };
    shown.current.tell();
    return () => {
      shown.current.tell = () => undefined;
      stream.end();
      tasks.end();
      letters.end();
      alerts.end();
      clearInterval(sweep);
      document.removeEventListener("close", closed, true);
    };
  }, [client]);
  useEffect(() => {
    shown.current.task = task;
    shown.current.tell();
  }, [task]);
  return <Rows.Provider value={setRows}><Alerting.Provider value={setAlerts}><Context.Provider value={live}>{children}</Context.Provider></Alerting.Provider></Rows.Provider>;
}
