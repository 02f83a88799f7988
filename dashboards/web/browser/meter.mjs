// What the browser costs and how smoothly it draws, measured from outside where that
// is possible: the processes' time by /proc, the page's by the DevTools protocol.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const ticksASecond = 100; // of /proc, on every Linux there is

// processes are those of the browser with the profile, by their kind: renderer for
// pages and workers, gpu-process for what draws, browser, utility.
function processes(profile) {
  const all = new Map();
  for (const pid of readdirSync("/proc").filter((d) => /^\d+$/.test(d))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
      all.set(pid, { parent: stat[1], ticks: Number(stat[11]) + Number(stat[12]), line: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") });
    } catch {
      // It ended meanwhile.
    }
  }
  const ours = (pid) => {
    const p = all.get(pid);
    return !!p && ((p.line.includes(`--user-data-dir=${profile}`)) || ours(p.parent));
  };
  return [...all].filter(([pid]) => ours(pid)).map(([pid, p]) => ({ pid, ticks: p.ticks, kind: /--type=(\S+)/.exec(p.line)?.[1] ?? "browser" }));
}

// cores is how much of a core each kind of process used between two calls.
export function cores(profile) {
  const from = processes(profile);
  const at = performance.now();
  return () => {
    const seconds = (performance.now() - at) / 1000;
    const used = {};
    for (const p of processes(profile)) {
      const before = from.find((o) => o.pid === p.pid)?.ticks ?? 0;
      used[p.kind] = (used[p.kind] ?? 0) + (p.ticks - before) / ticksASecond / seconds;
    }
    return used;
  };
}

// watchFrames counts frames in the page from now on; the function it returns tells
// how many there were a second, the longest time between two, and which took the page
// itself longer than 50 ms.
export async function watchFrames(page) {
  await page.evaluate(() => {
    const w = (globalThis.frames_ = { at: [], long: [], on: true });
    const seen = (list) => { for (const e of list.getEntries()) w.long.push(Math.round(e.duration)); };
    w.observer = new PerformanceObserver(seen);
    w.observer.observe({ type: "long-animation-frame" });
    const next = (t) => { w.at.push(t); if (w.on) requestAnimationFrame(next); };
    requestAnimationFrame(next);
  });
  return () => page.evaluate(() => {
    const w = globalThis.frames_;
    w.on = false;
    for (const e of w.observer.takeRecords()) w.long.push(Math.round(e.duration));
    w.observer.disconnect();
    const gaps = w.at.slice(1).map((t, i) => t - w.at[i]).sort((a, b) => a - b);
    const over = (w.at.at(-1) - w.at[0]) / 1000;
    return { fps: gaps.length / over, p99: gaps[Math.floor(gaps.length * 0.99)] ?? 0, longest: gaps.at(-1) ?? 0, long: w.long, frames: gaps.length };
  });
}

// spent is what the page's main thread did between two calls, in parts of the time.
export async function spent(cdp) {
  const read = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map((m) => [m.name, m.value]));
  await cdp.send("Performance.enable");
  const from = await read();
  return async () => {
    const to = await read();
    const over = to.Timestamp - from.Timestamp;
    return Object.fromEntries(["TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration"].map((n) => [n, (to[n] - from[n]) / over]));
  };
}

// worked is what the page's main thread did between two calls by the processor's time:
// how many tasks took more than 50 ms of it, and the longest. Time by the clock holds
// what other processes took meanwhile, too.
export async function worked(cdp) {
  const events = [];
  const take = (d) => events.push(...d.value);
  cdp.on("Tracing.dataCollected", take);
  await cdp.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"] } });
  return async () => {
    const done = new Promise((r) => cdp.once("Tracing.tracingComplete", r));
    await cdp.send("Tracing.end");
    await done;
    cdp.off("Tracing.dataCollected", take);
    const mains = new Set(events.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid} ${e.tid}`));
    const tasks = events.filter((e) => e.ph === "X" && e.name === "RunTask" && mains.has(`${e.pid} ${e.tid}`)).map((e) => (e.tdur ?? e.dur) / 1000);
    assert(tasks.length > 10, "nothing was traced");
    return { over: tasks.filter((t) => t > 50).length, longest: Math.max(...tasks) };
  };
}
