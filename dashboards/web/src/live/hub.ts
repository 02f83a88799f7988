// The one stream of a browser and the tabs that share it. A hub runs in a worker all
// tabs share, or, where a browser has none, in the tab itself. A tab says who it is,
// what it shows and whether somebody looks; it hears only while somebody does.
import { join } from "./held";
import type { Snapshot, Status, Update } from "./stream";
import { connect as overNetwork, type Connect, type Message } from "./sse";

export type Hello = { kind: "hello"; who: string; url: string; topics: string[]; visible: boolean };
export type Bye = { kind: "bye" };
// again asks a tab to read anew what it shows, since it may have missed something.
export type Said = { kind: "status"; status: Status } | { kind: "snapshot"; snapshot: Snapshot } | { kind: "updates"; updates: Update[] } | { kind: "alerts" } | { kind: "again" } | { kind: "refused" };
export interface Tab { say(m: Said): void }

const gatherMs = 250; // updates are handed on together, four times a second
const restAfterMs = 20_000; // how long a stream nobody looks at stays open
const settleMs = 300; // changes of topics are gathered
const switchMs = 2000; // and a stream is not opened anew more often
const silentTabMs = 90_000; // a tab that says nothing for so long is gone
const againMs = 3000;
const maxTopics = 50; // the server's limit
const maxWaiting = 5000;

type Known = { hello: Hello; heard: number; hears: boolean };

class Line {
  status: Status = "connecting";
  tabs = new Map<Tab, Known>();
  #topics: string[] = [];
  #refused = new Set<string>();
  #last = "";
  #close: (() => void) | undefined;
  #next: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #gather: ReturnType<typeof setTimeout> | undefined;
  #alerts: ReturnType<typeof setTimeout> | undefined;
  #waiting = new Map<string, Update>();
  #tries = 0;
  #opened = 0;
  #asked = 0;
  #pending: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly url: string, readonly connect: Connect) {}

  #looking() {
    return [...this.tabs].filter(([, k]) => k.hello.visible);
  }
  #wanted(): string[] {
    const all = new Set<string>();
    // What every page needs goes first, then what each tab named, in its order.
    for (const [, k] of this.#looking()) for (const t of k.hello.topics.slice(0, 2)) all.add(t);
    for (const [, k] of this.#looking()) for (const t of k.hello.topics) all.add(t);
    return [...all].filter((t) => !this.#refused.has(t)).slice(0, maxTopics);
  }
  #say(m: Said) {
    for (const [tab, k] of this.tabs) if (k.hears) tab.say(m);
  }
  #set(status: Status) {
    if (this.status === status) return;
    this.status = status;
    for (const tab of this.tabs.keys()) tab.say({ kind: "status", status });
  }

  // look sees to it that what the tabs want is followed.
  look(now: number) {
    for (const [tab, k] of this.tabs) {
      const hears = k.hello.visible;
      // What came while nobody looked was not told.
      if (hears && !k.hears && this.status === "live") {
        tab.say({ kind: "status", status: "live" });
        tab.say({ kind: "again" });
      }
      k.hears = hears;
    }
    if (!this.#looking().length) {
      this.#rest ??= setTimeout(() => { this.#rest = undefined; this.close("paused"); }, restAfterMs);
      return;
    }
    clearTimeout(this.#rest);
    this.#rest = undefined;
    if (this.#timer) return;
    if (!this.#close && !this.#next) return this.#open(true);
    const wanted = this.#wanted();
    if (wanted.every((t) => this.#topics.includes(t)) || this.#next) return;
    this.#timer = setTimeout(() => { this.#timer = undefined; this.#open(false); }, Math.max(settleMs, this.#opened + switchMs - now));
  }

  // open begins a connection. Where one is there already, it is kept until the new
  // one is in force, so that nothing is missed in between.
  #open(fresh: boolean) {
    const wanted = this.#wanted();
    if (!wanted.length) return;
    // Topics are left, too, where there is room: a row that comes back needs no new
    // stream.
    const topics = fresh ? wanted : [...wanted, ...this.#topics.filter((t) => !wanted.includes(t) && !this.#refused.has(t))].slice(0, maxTopics);
    if (fresh) this.#set(this.#tries ? "stale" : "connecting");
    this.#opened = Date.now();
    const q = topics.map((t) => `topics=${encodeURIComponent(t)}`).join("&");
    const before = this.#topics;
    let up = false;
    const close = this.connect(this.url + (this.url.includes("?") ? "&" : "?") + q, fresh && same(topics, before) ? this.#last : "", {
      open: () => {
        up = true;
        this.#close?.();
        [this.#close, this.#next, this.#topics, this.#tries] = [close, undefined, topics, 0];
        this.#set("live");
        // What a page read before the stream was in force may be old.
        if (fresh) this.#say({ kind: "again" });
        this.look(Date.now());
      },
      message: (m) => this.#message(m),
      gone: (status, after) => {
        if (up && this.#close !== close) return;
        if (up) this.#close = undefined;
        else this.#next = undefined;
        if (status === 401) {
          this.#set("stale");
          return this.#say({ kind: "refused" });
        }
        if (status >= 400 && status < 500 && status !== 429) {
          // One topic that is not to be had must not cost the others theirs.
          const fault = topics.filter((t) => !before.includes(t) && t.startsWith("task:"));
          for (const t of fault.length ? fault : topics.filter((t) => t.startsWith("task:"))) this.#refused.add(t);
        }
        if (this.#close && !up) return this.look(Date.now());
        this.#set("stale");
        clearTimeout(this.#timer);
        const wait = Math.max(after, Math.min(30_000, 1000 * 2 ** this.#tries++));
        this.#timer = setTimeout(() => { this.#timer = undefined; if (this.#looking().length) this.#open(true); }, wait * (0.8 + 0.4 * Math.random()));
      },
    });
    this.#next = close;
  }

  #message(m: Message) {
    if (m.id) this.#last = m.id;
    if (m.event === "missed") return this.#again();
    if (m.event === "snapshot") {
      // What was gathered is told first: a stream that takes over from another begins
      // with a snapshot, and that leaves out what has ended.
      this.#hand();
      const snapshot = read<Snapshot>(m.data);
      if (snapshot) for (const [tab, k] of this.tabs) if (k.hears) tab.say({ kind: "snapshot", snapshot: { topics: snapshot.topics.filter((t) => k.hello.topics.includes(t.topic)) } });
      return;
    }
    if (m.event === "alert") {
      this.#alerts ??= setTimeout(() => {
        this.#alerts = undefined;
        for (const [tab, k] of this.tabs) if (k.hears && k.hello.topics.includes("alerts")) tab.say({ kind: "alerts" });
      }, gatherMs);
      return;
    }
    if (m.event !== "update") return;
    const u = read<Update>(m.data);
    if (!u) return;
    const key = `${u.topic} ${u.task_id}`;
    const have = this.#waiting.get(key);
    if (have) this.#waiting.set(key, join(have, u));
    else if (this.#waiting.size < maxWaiting) this.#waiting.set(key, u);
    else this.#again();
    this.#gather ??= setTimeout(() => this.#hand(), gatherMs);
  }
  #hand() {
    clearTimeout(this.#gather);
    this.#gather = undefined;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const [tab, k] of this.tabs) {
      if (!k.hears) continue;
      const updates = all.filter((u) => k.hello.topics.includes(u.topic));
      if (updates.length) tab.say({ kind: "updates", updates });
    }
  }
  #again() {
    // Not more often than that, but not forgotten either.
    this.#pending ??= setTimeout(() => {
      this.#pending = undefined;
      this.#asked = Date.now();
      this.#say({ kind: "again" });
    }, Math.max(0, this.#asked + againMs - Date.now()));
  }

  close(status: Status) {
    this.#close?.();
    this.#next?.();
    [this.#close, this.#next, this.#topics, this.#tries] = [undefined, undefined, [], 0];
    clearTimeout(this.#timer);
    clearTimeout(this.#gather);
    clearTimeout(this.#rest);
    clearTimeout(this.#pending);
    clearTimeout(this.#alerts);
    this.#alerts = undefined;
    this.#timer = this.#gather = this.#rest = this.#pending = undefined;
    this.#waiting.clear();
    this.#refused.clear();
    this.#set(status);
  }
}

const same = (a: string[], b: string[]) => a.length === b.length && a.every((t) => b.includes(t));
function read<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

export class Hub {
  #lines = new Map<string, Line>();
  #who = "";
  constructor(readonly connect: Connect = overNetwork) {}

  hear(tab: Tab, m: Hello | Bye) {
    const now = Date.now();
    if (m.kind === "bye") return this.#drop(tab);
    if (m.who !== this.#who) {
      // The cookie is another's now: what was opened with the old one ends.
      for (const l of this.#lines.values()) {
        l.close("stale");
        for (const other of l.tabs.keys()) if (other !== tab) other.say({ kind: "refused" });
      }
      this.#lines.clear();
      this.#who = m.who;
    }
    let line = this.#lines.get(m.url);
    if (!line) this.#lines.set(m.url, (line = new Line(m.url, this.connect)));
    const known = line.tabs.get(tab);
    if (!known) this.#drop(tab);
    line.tabs.set(tab, { hello: m, heard: now, hears: known?.hears ?? false });
    if (!known) tab.say({ kind: "status", status: line.status });
    for (const [t, k] of line.tabs) if (now - k.heard > silentTabMs) line.tabs.delete(t);
    line.look(now);
  }
  #drop(tab: Tab) {
    for (const [url, l] of this.#lines) {
      if (!l.tabs.delete(tab)) continue;
      if (l.tabs.size) l.look(Date.now());
      else {
        l.close("paused");
        this.#lines.delete(url);
      }
    }
  }
}
