// What each type of task came to over the window.
import type { History } from "../api/types";
import { duration, printable } from "../ui/format";
import { figure } from "../ui/history";
import { Empty } from "../ui/parts";

type Row = History["types"][number];
const columns: [string, (t: Row, minutes: number) => string, string?][] = [
  ["Completed", (t) => figure(t.completed_runs)], ["Failed", (t) => figure(t.failed_runs)], ["Cancelled, lost", (t) => figure(t.cancelled_runs + t.lost_runs), "hidden sm:table-cell"],
  ["Per minute", (t, minutes) => figure((t.completed_runs + t.failed_runs + t.cancelled_runs + t.lost_runs) / minutes)],
  ["Failure rate", (t) => `${figure(t.failure_rate * 100)} %`],
  ["p50", (t) => (t.execution_time.count ? duration(t.execution_time.p50_ms) : "–")], ["p95", (t) => (t.execution_time.count ? duration(t.execution_time.p95_ms) : "–")], ["p99", (t) => (t.execution_time.count ? duration(t.execution_time.p99_ms) : "–")],
];

export function ByType({ types, window, minutes, chosen, onChoose }: { types: Row[]; window: string; minutes: number; chosen: string; onChoose(type: string): void }) {
  return (
    <section className="panel overflow-x-auto" tabIndex={0} aria-label="By type">
      <table className="w-full whitespace-nowrap">
        <caption className="text-left px-3 pt-2"><span className="font-medium">By type</span> <span className="label">in {window}, the busiest first; a type shows its own charts</span></caption>
        <thead><tr><th scope="col" className="px-3 py-1">Type</th>{columns.map(([name, , extra]) => <th key={name} scope="col" className={`px-3 py-1 text-right ${extra ?? ""}`}>{name}</th>)}</tr></thead>
        <tbody className="rows">
          {types.map((t) => (
            <tr key={t.type} className={t.type && t.type === chosen ? "bg-sunk" : ""} data-type={t.type}>
              <td className="px-3 py-1">{t.type ? <button className="link" data-row aria-pressed={t.type === chosen} onClick={() => onChoose(t.type === chosen ? "" : t.type)}>{printable(t.type)}</button> : <span className="text-soft">no type</span>}</td>
              {columns.map(([name, of, extra]) => <td key={name} className={`px-3 text-right ${extra ?? ""}`}>{of(t, minutes)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
      {types.length === 0 && <Empty title={`Nothing ended in ${window}`}>Look further back, or wait: what ends is here within a minute.</Empty>}
    </section>
  );
}
