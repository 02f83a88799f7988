// What the stream says goes into the cache that every page reads from.
import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import type { Task } from "../api/types";
import { merge, prune } from "./merge";
import { follow, type Snapshot, type Status, type Update } from "./stream";

type Live = { status: Status; truncated: boolean };
const Context = createContext<Live>({ status: "connecting", truncated: false });
export const useLive = () => useContext(Context);
export const activeKey = ["active"] as const;

function put(client: QueryClient, updates: Update[]) {
  client.setQueryData<Task[]>(activeKey, (rows) => rows && merge(rows, updates));
  const settled = updates.filter((u) => u.row || u.events.some((e) => e.type !== "task_progress" && e.type !== "task_heartbeat"));
  for (const u of updates) {
    client.setQueryData<Task>(["task", u.task_id, "folded"], (t) => t && u.task?.progress ? { ...t, progress: u.task.progress } : t);
  }
  for (const id of new Set(settled.map((u) => u.task_id))) void client.invalidateQueries({ queryKey: ["task", id] });
  if (settled.some((u) => u.row || u.events.some((e) => /^(moved_to_dlq|dlq_|task_completed|task_cancelled)/.test(e.type)))) {
    void client.invalidateQueries({ queryKey: ["dead-letters"] });
  }
}

export function LiveProvider({ task, children }: { task?: string; children: ReactNode }) {
  const client = useQueryClient();
  const [live, setLive] = useState<Live>({ status: "connecting", truncated: false });
  useEffect(() => {
    // Nothing moves under an open question: what comes meanwhile waits.
    let held: Update[] = [];
    const asking = () => document.querySelector("dialog[open]") !== null;
    const release = () => {
      if (asking() || !held.length) return;
      const all = held;
      held = [];
      put(client, all);
    };
    const closed = () => queueMicrotask(release);
    document.addEventListener("close", closed, true);
    const sweep = setInterval(() => {
      release();
      if (!asking()) client.setQueryData<Task[]>(activeKey, (rows) => rows && prune(rows, Date.now()));
    }, 1000);
    const end = follow(task ? ["tasks", `task:${task}`] : ["tasks"], {
      status: (status) => setLive((l) => (l.status === status ? l : { ...l, status })),
      updates: (u) => {
        if (asking()) held = [...held, ...u].slice(-1000);
        else put(client, u);
      },
      snapshot: (s: Snapshot) => {
        const tasks = s.topics.find((t) => t.topic === "tasks");
        if (tasks) client.setQueryData<Task[]>(activeKey, tasks.tasks ?? []);
        setLive((l) => ({ ...l, truncated: tasks?.truncated ?? false }));
        // What was read before may be older than the snapshot.
        void client.invalidateQueries({ queryKey: ["task"] });
        void client.invalidateQueries({ queryKey: ["dead-letters"] });
      },
    });
    return () => {
      end();
      clearInterval(sweep);
      document.removeEventListener("close", closed, true);
    };
  }, [client, task]);
  return <Context.Provider value={live}>{children}</Context.Provider>;
}
