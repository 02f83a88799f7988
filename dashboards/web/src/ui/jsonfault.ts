// Where a text stops being JSON: browsers say it each in their own words, or not at
// all. Pure, so that it can be tested.

const space = /[ \t\n\r]*/y;
const value = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

// faultAt is the place from which on a text is no JSON, or -1 where it is.
export function faultAt(text: string): number {
  const open: string[] = []; // the brackets that wait for their end
  let at = 0;
  let want: "value" | "first" | "name" | "first name" | "after" = "value";
  const skip = (re: RegExp) => {
    re.lastIndex = at;
    const m = re.exec(text);
    if (m) at += m[0].length;
    return m?.[0];
  };
  for (;;) {
    skip(space);
    const c = text[at];
    if (want === "after") {
      const inside = open.at(-1);
      if (!inside) return at < text.length ? at : -1;
      if (c === ",") want = inside === "{" ? "name" : "value";
      else if (c === (inside === "{" ? "}" : "]")) open.pop();
      else return at;
      at++;
    } else if ((c === "]" && want === "first") || (c === "}" && want === "first name")) {
      open.pop();
      at++;
      want = "after";
    } else if (want === "name" || want === "first name") {
      if (c !== '"' || skip(value) === undefined) return at;
      skip(space);
      if (text[at] !== ":") return at;
      at++;
      want = "value";
    } else if (c === "{" || c === "[") {
      open.push(c);
      at++;
      want = c === "{" ? "first name" : "first";
    } else {
      if (skip(value) === undefined) return at;
      want = "after";
    }
  }
}
