// What stands beside and below a chart. Pure, so that it can be tested.
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const p = (n: number) => String(n).padStart(2, "0");

// ticks writes times in seconds, each no longer than it needs: seconds where they are
// apart by less than a minute, the day where a day begins or they are days apart.
export function ticks(splits: number[], utc: boolean): string[] {
  const apart = (splits[1] ?? Infinity) - (splits[0] ?? 0);
  return splits.map((s) => {
    const d = new Date(s * 1000);
    const [hour, minute, second] = utc ? [d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()] : [d.getHours(), d.getMinutes(), d.getSeconds()];
    const day = utc ? `${d.getUTCDate()} ${months[d.getUTCMonth()]}` : `${d.getDate()} ${months[d.getMonth()]}`;
    if (apart >= 86_400 || (hour === 0 && minute === 0 && apart >= 60)) return day;
    return `${p(hour)}:${p(minute)}${apart < 60 ? `:${p(second)}` : ""}`;
  });
}

// brief writes the powers of ten of an axis of durations, in milliseconds.
export const brief = (ms: number) => (ms < 1000 ? `${Number(ms.toPrecision(1))} ms` : ms < 1e7 ? `${ms / 1000} s` : `${Math.round(ms / 3.6e6)} h`);
