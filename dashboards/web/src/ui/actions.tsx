// What an operator can ask for, each with a question first and the answer shown.
import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Send, taskPath } from "../api/client";
import type { Accepted } from "../api/types";
import { printable } from "./format";
import { Ask } from "./parts";

export type Verb = "retry" | "cancel" | "discard";
export type Wish = { verb: Verb; taskId: string; letterId?: string };

const texts: Record<Verb, { title: string; action: string; body: string; done: string }> = {
  retry: { title: "Retry this task?", action: "Retry", body: "Its original input runs again, as the task's next run.", done: "Retry accepted" },
  cancel: { title: "Cancel this task?", action: "Cancel task", body: "Its agent is asked to stop. The timeline shows when it was asked, and how it stopped.", done: "Cancel asked for" },
  discard: { title: "Discard this dead letter?", action: "Discard", body: "It leaves the inbox and cannot be retried. The task's timeline stays.", done: "Discarded" },
};

// useActions asks and does. Where done is given, it tells what was done, and nothing is
// said here.
export function useActions(done?: (w: Wish, a: Accepted) => void) {
  const client = useQueryClient();
  const [wish, setWish] = useState<(Wish & { send: Send }) | null>(null);
  const [said, setSaid] = useState("");
  const mutation = useMutation({
    mutationFn: ({ wish: w, reason }: { wish: Wish & { send: Send }; reason: string }) => {
      const path = w.verb === "discard" || w.letterId ? `/failed-tasks/${w.letterId}/${w.verb}` : `${taskPath(w.taskId)}/${w.verb}`;
      return w.send.post(path, reason ? { reason } : {});
    },
    onSuccess: (accepted, { wish: w }) => {
      if (done) done(w, accepted);
      else setSaid(`${texts[w.verb].done}${w.verb === "retry" && accepted.run ? `, run ${accepted.run}` : ""}: ${printable(w.taskId)}`);
      setWish(null);
      void client.invalidateQueries({ queryKey: ["task", w.taskId] });
      void client.invalidateQueries({ queryKey: ["dead-letters"] });
    },
  });
  const ask = (w: Wish) => {
    mutation.reset();
    setSaid("");
    setWish({ ...w, send: new Send() });
  };
  const ui = (
    <>
      <p role="status" className={said ? "panel px-3 py-1.5 mb-3" : "sr-only"}>{said && <><span aria-hidden="true" className="text-good">✓ </span>{said}</>}</p>
      {wish && (
        <Ask title={texts[wish.verb].title} action={texts[wish.verb].action} danger={wish.verb !== "retry"} busy={mutation.isPending} problem={mutation.error}
          onDo={(reason) => mutation.mutate({ wish, reason })} onClose={() => setWish(null)}>
          <p className="id text-ink">{printable(wish.taskId)}</p>
          <p className="mt-1">{texts[wish.verb].body}</p>
        </Ask>
      )}
    </>
  );
  return { ask, ui };
}
