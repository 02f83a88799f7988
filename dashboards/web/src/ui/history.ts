// A history of health as lines. Pure, so that it can be tested.
import type { History } from "../api/types";

export type Trails = {
  times: number[]; // seconds
  completed: number[]; // a minute, as the others of runs
  failed: number[];
  stopped: number[]; // cancelled and lost
  rate: (number | null)[]; // percent
  p50: (number | null)[]; // milliseconds
  p95: (number | null)[];
  p99: (number | null)[];
  letters: number[];
};

// trails counts runs by the minute, so that windows compare. The last step may be
// shorter than the others. Where nothing ran there is neither a rate nor a duration.
export function trails(h: History): Trails {
  const t: Trails = { times: [], completed: [], failed: [], stopped: [], rate: [], p50: [], p95: [], p99: [], letters: [] };
  const end = Date.parse(h.to);
  for (const p of h.points) {
    const at = Date.parse(p.at);
    const minutes = Math.max(1, Math.min(h.step_ms, end - at) / 60_000);
    const ended = p.completed_runs + p.failed_runs, e = p.execution_time;
    t.times.push(at / 1000);
    t.completed.push(p.completed_runs / minutes);
    t.failed.push(p.failed_runs / minutes);
    t.stopped.push((p.cancelled_runs + p.lost_runs) / minutes);
    t.rate.push(ended ? p.failure_rate * 100 : null);
    t.p50.push(e.count ? e.p50_ms : null);
    t.p95.push(e.count ? e.p95_ms : null);
    t.p99.push(e.count ? e.p99_ms : null);
    t.letters.push(p.dead_letters / minutes);
  }
  return t;
}

// figure writes a number no longer than it tells: 0.25, 7.5, 42, 1 300, 12k.
export function figure(n: number): string {
  if (n === 0) return "0";
  if (n < 1) return n.toFixed(n < 0.095 ? 2 : 1).replace(/\.0$/, "");
  if (n < 10) return n.toFixed(1).replace(/\.0$/, "");
  if (n < 10_000) return String(Math.round(n)).replace(/(\d)(?=\d{3}$)/, "$1\u202f");
  return n < 1_000_000 ? `${Math.round(n / 1000)}k` : `${(n / 1_000_000).toFixed(1)}M`;
}
