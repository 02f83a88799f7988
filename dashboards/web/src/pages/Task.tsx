// One task: what can be done to it, what became of that, and the views of it.
import { useEffect, useState } from "react";
import * as Tabs from "@radix-ui/react-tabs";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { asCurl, get, getList, taskPath } from "../api/client";
import { readTimeline, type Known } from "../api/timeline";
import type { Attempt, DeadLetter, Entry, Page, Task as TaskRow } from "../api/types";
import { useActions } from "../ui/actions";
import { useAddress } from "../ui/address";
import { useEvery } from "../ui/every";
import { readDid, type Did } from "../ui/followed";
import { isActive, printable, word } from "../ui/format";
import { useMe } from "../ui/me";
import { Copy, Failed, Loading, Mark } from "../ui/parts";
import { Time } from "../ui/prefs";
import { TabRow } from "../ui/TabRow";
import { Attempts } from "./task/Attempts";
import { EditRetry } from "./task/EditRetry";
import { Followed } from "./task/Followed";
import { Overview } from "./task/Overview";
import { Payloads } from "./task/Payloads";
import { Payment } from "./task/Payment";
import { Timeline } from "./task/Timeline";

const tabs = [["overview", "Overview"], ["timeline", "Timeline"], ["attempts", "Attempts"], ["payloads", "Input/Output"], ["payment", "Payment"]] as const;
// What a tab keeps in the address goes with it.
const ofTabs = { severity: undefined, types: undefined, run: undefined, q: undefined, event: undefined, zoom: undefined, attempt: undefined };

const none: Entry[] = [];
const netMs = 10_000; // a task that goes on is read anew, should the stream have told too little

// useTabKeys leads to the tabs by their number.
function useTabKeys(go: (tab: string) => void) {
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      const tab = tabs[Number(e.key) - 1]?.[0];
      if (!tab || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) return;
      go(tab);
      e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}

export function Task() {
  const { id } = useParams({ strict: false }) as { id: string };
  const [search, set] = useAddress();
  const client = useQueryClient();
  const { may } = useMe();
  const follow = (verb: Did["verb"], run: number) => set({ did: `${verb}.${run}` });
  const path = taskPath(id);
  const task = useQuery({ queryKey: ["task", id, "folded"], queryFn: ({ signal }) => get<TaskRow>(path, {}, signal) });
  const { ask, ui } = useActions((w, a) => follow(w.verb, a.run || task.data?.run || 1));
  const [editing, setEditing] = useState(false);
  const tab = tabs.some(([t]) => t === search.tab) ? search.tab! : "overview";
  const go = (v: string) => set({ ...ofTabs, tab: v });
  useTabKeys(go);
  const timeline = useQuery({ queryKey: ["task", id, "timeline"], queryFn: ({ signal }) => readTimeline(id, client.getQueryData<Known>(["task", id, "timeline"]), signal), structuralSharing: false, enabled: task.isSuccess });
  useEvery(netMs, (o) => task.data && isActive(task.data.state) && (void task.refetch(o), void timeline.refetch(o)));
  const attempts = useQuery({ queryKey: ["task", id, "attempts"], queryFn: ({ signal }) => getList<Page<Attempt>>(`${path}/attempts`, {}, signal), enabled: task.isSuccess && tab === "attempts" });
  const letterId = task.data?.dead_letter_id;
  const letter = useQuery({ queryKey: ["task", id, "letter", letterId], queryFn: ({ signal }) => get<DeadLetter>(`/failed-tasks/${letterId}`, {}, signal), enabled: !!letterId, retry: false });
  if (task.isPending) return <Loading />;
  if (task.isError && !task.data) return <><Failed problem={task.error} again={() => void task.refetch()} /><p className="mt-3"><Link className="link" to="/tasks">All active tasks</Link></p></>;
  const t = task.data;
  const d = letter.data;
  const entries = timeline.data?.entries ?? none;
  const did = readDid(search.did);
  const again = t.state === "failed" || t.state === "cancelled";
  // Said before anybody presses retry.
  const barred = again && d?.status === "pending" && !d.replayable ? d.not_replayable || "the original input is not to be had" : "";
  const discarded = d?.status === "discarded";
  const unread = timeline.isError ? <Failed problem={timeline.error} again={() => void timeline.refetch()} /> : <Loading />;
  return (
    <>
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2 mb-3">
        <div className="min-w-0"><h1 className="text-lg font-semibold id !text-[15px]">{printable(t.task_id)}</h1>
          <p><Mark of={t.state} />{t.failure_reason && <span> · {word(t.failure_reason)}</span>}{t.alert_severity && <> · <Mark of={t.alert_severity} /></>}<span className="text-soft">{t.type ? ` · ${printable(t.type)}` : ""}{t.amount ? ` · ${t.amount} ${t.currency ?? ""}` : ""} · changed <Time at={t.updated_at} /></span></p></div>
        <div className="sm:ml-auto flex flex-wrap gap-1.5">
          {may.operate && again && !discarded && <button className="btn btn-main" disabled={!!barred} onClick={() => ask({ verb: "retry", taskId: id })}>Retry</button>}
          {may.operate && may.payload && again && !discarded && <button className="btn" disabled={!!barred} onClick={() => setEditing(true)}>Edit and retry…</button>}
          {may.operate && isActive(t.state) && <button className="btn" disabled={!!t.cancel_requested_at} onClick={() => ask({ verb: "cancel", taskId: id })}>Cancel</button>}
          {may.operate && t.state === "failed" && d?.status === "pending" && <button className="btn btn-bad" onClick={() => ask({ verb: "discard", taskId: id, letterId: t.dead_letter_id })}>Discard</button>}
          <Copy text={asCurl(`${path}/timeline`)}>Copy as curl</Copy>
        </div>
      </div>
      {barred && may.operate && <p className="text-wait mb-3">! It cannot be retried: {printable(barred)}</p>}
      {discarded && <p className="text-soft mb-3">⊘ Its dead letter was discarded: it cannot be retried.</p>}
      {ui}
      {did && <Followed did={did} task={t} entries={entries} letter={d} onClose={() => set({ did: undefined })} />}
      {task.isError && <div className="mb-3"><Failed problem={task.error} again={() => void task.refetch()} /></div>}
      <Tabs.Root value={tab} onValueChange={go}>
        <TabRow label="Views of the task" open={tab} tabs={tabs} />
        <Tabs.Content value="overview"><Overview task={t} entries={entries} letter={d} /></Tabs.Content>
        <Tabs.Content value="timeline">{timeline.data ? <Timeline entries={entries} /> : unread}</Tabs.Content>
        <Tabs.Content value="attempts">{attempts.isError ? <Failed problem={attempts.error} again={() => void attempts.refetch()} /> : attempts.data ? <Attempts task={t} attempts={attempts.data.data} entries={entries} /> : <Loading />}</Tabs.Content>
        <Tabs.Content value="payloads"><Payloads task={t} entries={entries} /></Tabs.Content>
        <Tabs.Content value="payment"><Payment task={t} /></Tabs.Content>
      </Tabs.Root>
      {editing && <EditRetry task={t} onClose={() => setEditing(false)} onDone={(a) => { setEditing(false); follow("edit", a.run); void client.invalidateQueries({ queryKey: ["task", id] }); }} />}
    </>
  );
}
