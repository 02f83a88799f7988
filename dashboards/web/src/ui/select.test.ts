import { describe, expect, it } from "vitest";
import { keep, nothing, setAll, toggle } from "./select";

const order = ["a", "b", "c", "d", "e"];
const list = (s: { ids: ReadonlySet<string> }) => [...s.ids].sort().join("");

describe("selection", () => {
  it("turns one row on and off", () => {
    const on = toggle(nothing, order, "b");
    expect(list(on)).toBe("b");
    expect(list(toggle(on, order, "b"))).toBe("");
  });
  it("takes the rows between two, in either direction", () => {
    expect(list(toggle(toggle(nothing, order, "d"), order, "b", true))).toBe("bcd");
    expect(list(toggle(toggle(nothing, order, "b"), order, "e", true))).toBe("bcde");
  });
  it("frees the rows between two", () => {
    const all = setAll(nothing, order, true);
    expect(list(toggle(toggle(all, order, "b"), order, "d", true))).toBe("ae");
  });
  it("takes the one row alone where the row before it went away", () => {
    expect(list(toggle(toggle(nothing, order, "x"), order, "b", true))).toBe("bx");
  });
  it("forgets what is there no more", () => {
    expect(list(keep(setAll(nothing, order, true), ["b", "z"]))).toBe("b");
    const s = setAll(nothing, ["b"], true);
    expect(keep(s, order)).toBe(s);
  });
});
