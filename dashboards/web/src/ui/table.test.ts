import { describe, expect, it } from "vitest";
import { csv } from "./table";

describe("csv", () => {
  it("quotes what needs it and keeps the order of columns", () => {
    expect(csv(["a", "b"], [{ b: 'say "x", y', a: 1 }, { a: "line\nbreak" }])).toBe('a,b\r\n1,"say ""x"", y"\r\n"line\nbreak",\r\n');
  });
  it("does not hand a spreadsheet a formula", () => {
    expect(csv(["a"], [{ a: "=HYPERLINK(1)" }, { a: "-1" }, { a: -1 }])).toBe("a\r\n'=HYPERLINK(1)\r\n'-1\r\n-1\r\n");
  });
  it("writes what is deep as JSON", () => expect(csv(["e"], [{ e: { k: 1 } }])).toBe('e\r\n"{""k"":1}"\r\n'));
});
