// One connection of server-sent events, read by fetch: a browser's own EventSource
// hides the heartbeats, by which a dead connection is told from a silent one, and the
// status of a refusal.

export type Message = { event: string; data: string; id?: string };

// Parser takes the text of a stream apart. Pure, so that it can be tested.
export class Parser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #id: string | undefined;
  feed(text: string): Message[] {
    const out: Message[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) out.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
        [this.#event, this.#data, this.#id] = ["", [], undefined];
        continue;
      }
      const at = line.indexOf(":");
      if (at === 0) continue;
      const field = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? "" : line.slice(line[at + 1] === " " ? at + 2 : at + 1);
      if (field === "event") this.#event = value;
      else if (field === "data") this.#data.push(value);
      else if (field === "id") this.#id = value;
    }
    return out;
  }
}

export type Ends = {
  open(): void;
  message(m: Message): void;
  // gone says why it ended: the status of a refusal, 0 where the network did it.
  gone(status: number, retryAfterMs: number): void;
};
export type Connect = (url: string, lastId: string, on: Ends) => () => void;

const silentMs = 40_000; // the server says something every 15 s

export const connect: Connect = (url, lastId, on) => {
  const stop = new AbortController();
  let ended = false;
  let watch: ReturnType<typeof setTimeout> | undefined;
  const end = (status: number, after = 0) => {
    if (ended) return;
    ended = true;
    clearTimeout(watch);
    stop.abort();
    on.gone(status, after);
  };
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(() => end(0), silentMs);
  };
  void (async () => {
    heard();
    try {
      const res = await fetch(url, { credentials: "same-origin", cache: "no-store", signal: stop.signal, headers: lastId ? { "Last-Event-ID": lastId } : {} });
      if (!res.ok || !res.body || !res.headers.get("Content-Type")?.startsWith("text/event-stream")) return end(res.ok ? 0 : res.status, Number(res.headers.get("Retry-After") ?? 0) * 1000);
      if (ended) return;
      on.open();
      const parser = new Parser();
      const text = new TextDecoder();
      const reader = res.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || ended) break;
        heard();
        for (const m of parser.feed(text.decode(value, { stream: true }))) on.message(m);
      }
      end(0);
    } catch {
      end(0);
    }
  })();
  return () => {
    ended = true;
    clearTimeout(watch);
    stop.abort();
  };
};
