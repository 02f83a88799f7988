import { describe, expect, it } from "vitest";
import { faultAt } from "./jsonfault";
import { apply, between, edit, parse, patchOf, redacted, truncated } from "./patch";

const input = { order: 4711, card: "[redacted]", to: { name: "Ann", iban: "[redacted]" }, items: [{ sku: "A-1", note: "[redacted]" }], tags: ["a"], gone: null };
const edited = (change: (v: typeof input) => unknown) => edit(input, JSON.stringify(change(structuredClone(input))));
const faultOf = (e: ReturnType<typeof edit>) => ("fault" in e ? e.fault : "");

describe("an edit", () => {
  it("is the smallest patch, and leaves what was redacted alone", () => {
    expect(edited((v) => ({ ...v, order: 4712, to: { ...v.to, name: "Bob" } }))).toMatchObject({ patch: { order: 4712, to: { name: "Bob" } } });
  });
  it("takes a name away with null", () => {
    expect(edited(({ tags, ...rest }) => (void tags, rest))).toMatchObject({ patch: { tags: null } });
  });
  it("may replace a redacted value as a whole", () => {
    expect(edited((v) => ({ ...v, card: "4111" }))).toMatchObject({ patch: { card: "4111" } });
  });
  it("refuses to write the mark, wherever it was put", () => {
    expect(faultOf(edited((v) => ({ ...v, card: "x [redacted]" })))).toContain("card");
    expect(faultOf(edited((v) => ({ ...v, copied: { deep: v.card } })))).toContain("copied.deep");
  });
  it("refuses to change a list with a redacted part, which would be lost", () => {
    expect(faultOf(edited((v) => ({ ...v, items: [...v.items, { sku: "A-2", note: "" }] })))).toMatch(/items is a list with a redacted part/);
    expect(edited((v) => ({ ...v, tags: ["a", "b"] }))).toMatchObject({ patch: { tags: ["a", "b"] } });
  });
  it("refuses a null, which a patch cannot set", () => {
    expect(faultOf(edited((v) => ({ ...v, order: null })))).toContain("order cannot be set to null");
    expect(faultOf(edited((v) => ({ ...v, new: { deep: null } })))).toContain("new.deep");
  });
  it("refuses digits that would change on the way", () => {
    expect(faultOf(edit({}, '{"id": 9007199254740993}'))).toContain("more digits");
  });
  it("says where it is not JSON, and what cannot be edited", () => {
    expect(faultOf(edit(input, '{\n  "a": \n}'))).toMatch(/line 3/);
    expect(faultOf(edit(input, "[1]"))).toContain("object");
    expect(faultOf(edit([1], '{"a":1}'))).toContain("not an object");
    expect(faultOf(edit(input, JSON.stringify(input)))).toBe("Nothing is changed yet.");
    expect(faultOf(patchOf('"x"'))).toContain("object");
  });
  it("takes any name for a name", () => {
    const e = edit({}, '{"__proto__": {"a": 1}, "constructor": 2}');
    expect("patch" in e && JSON.stringify(e.patch)).toBe('{"__proto__":{"a":1},"constructor":2}');
    expect(JSON.stringify(apply({}, JSON.parse('{"__proto__":{"a":1}}')))).toBe('{"__proto__":{"a":1}}');
  });
});

describe("a merge patch", () => {
  it("does what RFC 7386 says", () => {
    for (const [value, patch, want] of [['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'], ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'], ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'], ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'], ['["a"]', '{"a":"b"}', '{"a":"b"}'], ["{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}']] as const) expect(apply(JSON.parse(value), JSON.parse(patch))).toEqual(JSON.parse(want));
  });
  it("between two values makes the one of the other", () => {
    const a = { x: 1, o: { p: [1, 2], q: "s" }, same: true }, b = { o: { p: [2], r: {} }, same: true, y: "n" };
    expect(apply(a, between(a, b))).toEqual(b);
  });
});

it("redacted and cut inputs are told", () => {
  expect(redacted(input)).toEqual(["card", "to.iban", "items[0].note"]);
  expect(truncated({ _truncated: true, _bytes: 9, preview: "{" })).toEqual({ bytes: 9, preview: "{" });
  expect(truncated(input)).toBeUndefined();
  expect(parse("{} x")).toHaveProperty("fault");
});

it("the place of a fault agrees with the parser, whatever is changed", () => {
  const good = '{"a": [1, -2.5e3, true, null, "x\\u00e9\\n"], "b": {"c": {}, "d": []}, "e": ""}';
  expect(faultAt(good)).toBe(-1);
  const valid = (t: string) => { try { JSON.parse(t); return true; } catch { return false; } };
  for (let i = 0; i < good.length; i++) for (const put of ["", ",", "}", "]", '"', "0", "x", " ", ":"]) {
    const t = good.slice(0, i) + put + good.slice(i + 1);
    expect(faultAt(t) < 0, t).toBe(valid(t));
    const at = faultAt(t);
    if (at >= 0) expect(at, t).toBeLessThanOrEqual(t.length);
  }
  expect(faultAt('{\n  "a": \n}')).toBe(10);
  expect(faultAt('{"a": 1,}')).toBe(8);
});
