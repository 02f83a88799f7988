// Two texts line by line. Pure, so that it can be tested.

export type Line = { kind: "same" | "gone" | "new"; text: string };

// Beyond this many pairs of lines the middle is told as gone and new altogether: a
// page must not stand still over a text.
const maxPairs = 4_000_000;

// lines is the shortest way from one text to the other.
export function lines(before: string, after: string): Line[] {
  const a = before.split("\n"), b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (text: string): Line => ({ kind: "same", text });
  return [...a.slice(0, head).map(same), ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)), ...a.slice(a.length - tail).map(same)];
}

function middle(a: string[], b: string[]): Line[] {
  if (a.length * b.length > maxPairs) return [...a.map((text): Line => ({ kind: "gone", text })), ...b.map((text): Line => ({ kind: "new", text }))];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width); // of what is left, in common
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1]! + 1 : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!);
  const out: Line[] = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) out.push({ kind: "same", text: a[i++]! }), j++;
    else if (i < a.length && (j >= b.length || longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!)) out.push({ kind: "gone", text: a[i++]! });
    else out.push({ kind: "new", text: b[j++]! });
  }
  return out;
}

// near leaves out what is the same and further than some lines from any change.
export function near(all: Line[], around = 3): (Line | { kind: "skipped"; text: string })[] {
  const keep = new Set<number>();
  all.forEach((l, i) => { if (l.kind !== "same") for (let k = i - around; k <= i + around; k++) keep.add(k); });
  const out: (Line | { kind: "skipped"; text: string })[] = [];
  let skipped = 0;
  const flush = () => {
    if (skipped) out.push({ kind: "skipped", text: `${skipped} ${skipped === 1 ? "line" : "lines"} the same` });
    skipped = 0;
  };
  all.forEach((l, i) => {
    if (!keep.has(i)) return void skipped++;
    flush();
    out.push(l);
  });
  flush();
  return out;
}
