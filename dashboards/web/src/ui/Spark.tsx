// Counts over time in a word's height. Its sum and its time stand beside it in words.
import { duration } from "./format";

// Whole days and hours, which is what such a line is long.
const span = (ms: number) => (ms >= 172_800_000 ? `${Math.round(ms / 86_400_000)} d` : ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : duration(ms));

export function Spark({ counts, stepMs }: { counts: number[] | undefined; stepMs: number | undefined }) {
  if (!counts?.length) return null;
  const top = Math.max(1, ...counts);
  const sum = counts.reduce((a, b) => a + b, 0);
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap" data-spark={sum}>
      <svg width={counts.length * 4} height={18} role="img" aria-label={`${sum} failed attempts in ${span((stepMs ?? 0) * counts.length)}, at most ${top} in ${duration(stepMs ?? 0)}`}>
        <line x1={0} x2={counts.length * 4} y1={17.5} y2={17.5} stroke="var(--line)" />
        {counts.map((n, i) => n > 0 && <rect key={i} x={i * 4} width={3} y={17 - Math.max(2, (n / top) * 16)} height={Math.max(2, (n / top) * 16)} fill="var(--bad)" />)}
      </svg>
      <span className="label" aria-hidden="true">{sum} in {span((stepMs ?? 0) * counts.length)}</span>
    </span>
  );
}
