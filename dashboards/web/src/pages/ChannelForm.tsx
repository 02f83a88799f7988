import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Problem, send } from "../api/client";
import type { Channel } from "../api/types";
import { printable } from "../ui/format";
import { Field, Sheet } from "../ui/Sheet";

export type SetChannel = Channel & { secret?: string };
export const channelPath = (name: string) => `/channels/${encodeURIComponent(name)}`;
const types = ["webhook", "slack", "pagerduty", "alertmanager"] as const;

// ChannelForm sets a channel of this namespace, or changes one that was set here.
// What it does not ask for stays as it was set. A name in taken would change another.
export function ChannelForm({ old, taken, onDone, onClose }: { old?: Channel; taken: string[]; onDone(c: SetChannel): void; onClose(): void }) {
  const client = useQueryClient();
  const [name, setName] = useState(old?.name ?? "");
  const [type, setType] = useState<string>(old?.type ?? "webhook");
  const [url, setURL] = useState("");
  const [key, setKey] = useState("");
  const [severity, setSeverity] = useState<string>(old?.min_severity ?? "medium");
  const [rotate, setRotate] = useState(false);
  const [reason, setReason] = useState("");
  const put = useMutation({
    mutationFn: () => send<SetChannel>("PUT", channelPath(name.trim()), {
      ...(old?.config as object | undefined), type, min_severity: severity, ...(url.trim() ? { url: url.trim() } : {}), ...(key.trim() ? { routing_key: key.trim() } : {}),
      ...(rotate ? { rotate_secret: true } : {}), ...(reason.trim() ? { reason: reason.trim() } : {}),
    }),
    onSuccess: (c) => { void client.invalidateQueries({ queryKey: ["channels"] }); onDone(c); },
    gcTime: 0,
  });
  const pager = type === "pagerduty";
  const needed = old ? true : pager ? !!key.trim() : /^https?:\/\/./.test(url.trim());
  const double = !old && taken.includes(name.trim());
  // What is refused stands at its field; below stands what has none here.
  const shown = ["name", "type", "min_severity", "reason", pager ? "routing_key" : "url"];
  const at = put.error instanceof Problem ? (put.error.code === "set_in_file" ? "name" : put.error.field) : "";
  const atField = !!put.error && shown.includes(at) && !(old && (at === "name" || at === "type"));
  const wrong = (field: string) => (atField && at === field ? printable((put.error as Problem).detail || put.error!.message) : undefined);
  return (
    <Sheet title={old ? `Change ${printable(old.name)}` : "New channel"} action={old ? "Change" : "Set up"} keep="Close" wide busy={put.isPending} disabled={!name.trim() || double || !needed} problem={atField ? null : put.error} onDo={() => put.mutate()} onClose={onClose}>
      <p className="text-soft">It is told of this namespace's alerts. What is secret in it is kept sealed and not shown again.</p>
      {!old && <Field label="Name" wrong={double ? "A channel has this name: change that one, or take another." : wrong("name")}><input className="field w-full" value={name} maxLength={100} required onChange={(e) => setName(e.target.value)} autoFocus /></Field>}
      {!old && <Field label="Type" wrong={wrong("type")}><select className="field" value={type} onChange={(e) => setType(e.target.value)}>{types.map((t) => <option key={t}>{t}</option>)}</select></Field>}
      {pager && <Field label={old ? "Another integration key" : "Integration key"} hint={old ? "empty: as it is" : undefined} wrong={wrong("routing_key")}><input className="field w-full" value={key} maxLength={128} autoComplete="off" onChange={(e) => setKey(e.target.value)} /></Field>}
      {!pager && <Field label={old ? "Another URL" : "URL"} hint={old ? "empty: as it is" : undefined} wrong={wrong("url")}><input className="field w-full" type="url" value={url} maxLength={2048} autoComplete="off" onChange={(e) => setURL(e.target.value)} /></Field>}
      <Field label="From which severity on" wrong={wrong("min_severity")}><select className="field" value={severity} onChange={(e) => setSeverity(e.target.value)}>{["medium", "high", "critical"].map((s) => <option key={s}>{s}</option>)}</select></Field>
      {old && type === "webhook" && <label className="flex gap-2 items-baseline"><input type="checkbox" checked={rotate} onChange={(e) => setRotate(e.target.checked)} />make a new secret; calls are signed with the one before, too</label>}
      <Field label="Reason" wrong={wrong("reason")}><input className="field w-full" value={reason} maxLength={1024} onChange={(e) => setReason(e.target.value)} /></Field>
    </Sheet>
  );
}
