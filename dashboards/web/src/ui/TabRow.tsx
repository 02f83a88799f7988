// The row of a page's tabs. Where it is wider than the window, the one that is open is
// in sight.
import * as Tabs from "@radix-ui/react-tabs";
import { useEffect, useRef } from "react";

export function TabRow({ label, open, tabs }: { label: string; open: string; tabs: readonly (readonly [string, string])[] }) {
  const row = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const list = row.current, tab = list?.querySelector<HTMLElement>("[data-state=active]");
    if (list && tab) list.scrollLeft = tab.offsetLeft - list.offsetLeft - (list.clientWidth - tab.clientWidth) / 2;
  }, [open]);
  return <Tabs.List ref={row} className="border-b border-line mb-3 overflow-x-auto whitespace-nowrap" aria-label={label}>{tabs.map(([value, name]) => <Tabs.Trigger key={value} value={value} className="tab">{name}</Tabs.Trigger>)}</Tabs.List>;
}
