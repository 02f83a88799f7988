import { expect, it } from "vitest";
import { lines, near } from "./diff";

const told = (a: string, b: string) => lines(a, b).map((l) => ({ same: " ", gone: "-", new: "+" })[l.kind] + l.text).join("\n");

it("tells the shortest way from one text to the other", () => {
  expect(told("a\nb\nc", "a\nx\nc")).toBe(" a\n-b\n+x\n c");
  expect(told("a\nb\nc\nd", "b\nc\nd\ne")).toBe("-a\n b\n c\n d\n+e");
  expect(told("", "")).toBe(" ");
});
it("always contains both texts, in order", () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 16807) % 2147483647) % n;
  for (let i = 0; i < 50; i++) {
    const text = () => Array.from({ length: random(12) }, () => "abc"[random(3)]).join("\n");
    const a = text(), b = text(), d = lines(a, b);
    expect(d.filter((l) => l.kind !== "new").map((l) => l.text).join("\n")).toBe(a);
    expect(d.filter((l) => l.kind !== "gone").map((l) => l.text).join("\n")).toBe(b);
  }
});
it("does not stand still over long texts", () => {
  const long = (of: string) => Array.from({ length: 30_000 }, (_, i) => `${of}${i}`).join("\n");
  const from = performance.now();
  expect(lines(long("a"), long("b"))).toHaveLength(60_000);
  expect(performance.now() - from).toBeLessThan(2000);
});
it("leaves out what is far from any change", () => {
  const a = Array.from({ length: 20 }, (_, i) => `${i}`).join("\n");
  const out = near(lines(a, a.replace("10", "ten")), 2);
  expect(out.map((l) => l.text)).toEqual(["8 lines the same", "8", "9", "10", "ten", "11", "12", "7 lines the same"]);
});
