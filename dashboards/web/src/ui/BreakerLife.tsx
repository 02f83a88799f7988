// The life of a provider's breakers over a time.
import type { BreakerChange } from "../api/types";
import { lanes, openShare } from "./breakers";
import { duration, moment, printable, word } from "./format";
import { usePrefs } from "./prefs";

const colour = { closed: "var(--good)", half_open: "var(--wait)", open: "var(--bad)" } as const;
const laneHeight = 26;
const W = 1000;

// Life draws every process's breaker as a lane. A state is a height and a word in
// the list below too, never a colour alone.
export function Life({ changes, from, to }: { changes: BreakerChange[]; from: number; to: number }) {
  const { clock, now } = usePrefs();
  const all = lanes(changes, from, to);
  if (!all.length) return <p className="text-soft px-3 py-2">No change of a breaker is known in this time.</p>;
  const x = (t: number) => ((t - from) / (to - from)) * W;
  return (
    <div className="px-3 pb-2">
      <div className="grid grid-cols-[6.5rem_minmax(0,1fr)] sm:grid-cols-[12rem_minmax(0,1fr)] items-start">
        <ol>{all.map((l) => <li key={l.source} style={{ height: laneHeight }} className="flex items-center gap-2 overflow-hidden whitespace-nowrap"><span className="truncate" title={l.source}>{printable(l.agent || l.source.slice(0, 8))}</span><span className="label hidden sm:inline">{Math.round(openShare(l) * 100)} % not closed</span></li>)}</ol>
        <svg className="block bg-sunk" viewBox={`0 0 ${W} ${all.length * laneHeight}`} preserveAspectRatio="none" height={all.length * laneHeight} width="100%" role="img" aria-label={`States of ${all.length} ${all.length === 1 ? "breaker" : "breakers"} over time; the list below says the same in words`}>
          {all.map((l, i) => l.stretches.map((s) => {
            const h = s.state === "open" ? 18 : s.state === "half_open" ? 10 : 3;
            return <rect key={`${l.source}${s.from}`} x={x(s.from)} width={Math.max(3, x(s.to) - x(s.from))} y={i * laneHeight + (laneHeight - h) / 2} height={h} fill={colour[s.state]}><title>{`${word(s.state)} for ${duration(s.to - Date.parse(s.change.at))}, since ${s.change.at}`}</title></rect>;
          }))}
        </svg>
      </div>
      <div className="grid grid-cols-[6.5rem_minmax(0,1fr)] sm:grid-cols-[12rem_minmax(0,1fr)] label"><span /><span className="flex justify-between"><span>{moment(new Date(from).toISOString(), clock, now)}</span><span>now</span></span></div>
      <p className="label flex gap-4 flex-wrap mt-1"><span><span aria-hidden="true" className="text-bad">█</span> open: tall</span><span><span aria-hidden="true" className="text-wait">▬</span> half open: middle</span><span><span aria-hidden="true" className="text-good">─</span> closed: thin</span><span>empty: not known</span></p>
    </div>
  );
}
