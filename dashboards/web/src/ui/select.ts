// Which rows are selected. Pure, so that it can be tested.

export type Selection = { ids: ReadonlySet<string>; anchor?: string };
export const nothing: Selection = { ids: new Set() };

// toggle turns one row, or with range all rows from the one turned last to this one,
// which then are what this one becomes.
export function toggle(s: Selection, order: string[], id: string, range = false): Selection {
  const ids = new Set(s.ids);
  const on = !ids.has(id);
  const from = range && s.anchor !== undefined ? order.indexOf(s.anchor) : -1;
  const to = order.indexOf(id);
  const span = from < 0 || to < 0 ? [id] : order.slice(Math.min(from, to), Math.max(from, to) + 1);
  for (const x of span) {
    if (on) ids.add(x);
    else ids.delete(x);
  }
  return { ids, anchor: id };
}

// setAll selects some rows, or none of them.
export function setAll(s: Selection, of: string[], on: boolean): Selection {
  const ids = new Set(s.ids);
  for (const x of of) {
    if (on) ids.add(x);
    else ids.delete(x);
  }
  return { ids };
}

// keep leaves out what is there no more: nobody acts on a row that cannot be seen.
export function keep(s: Selection, there: string[]): Selection {
  const have = new Set(there);
  const ids = new Set([...s.ids].filter((x) => have.has(x)));
  return ids.size === s.ids.size ? s : { ids, anchor: s.anchor };
}
