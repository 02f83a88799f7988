import { describe, expect, it } from "vitest";
import { mayOf } from "./me";

describe("mayOf", () => {
  it("lets admin do everything", () => {
    expect(Object.values(mayOf({ scopes: ["admin"] })).every(Boolean)).toBe(true);
  });
  it("keeps one user's token from what is everybody's", () => {
    expect(mayOf({ scopes: ["read", "operate"], user_id: "u-17" })).toMatchObject({ readAll: false, operate: true, operateAll: false, admin: false });
  });
  it("lets a user's token that reads all change what is everybody's", () => {
    expect(mayOf({ scopes: ["read:all", "operate"], user_id: "u-17" })).toMatchObject({ readAll: true, operateAll: true });
  });
  it("does not read with operate alone", () => {
    expect(mayOf({ scopes: ["operate"] })).toMatchObject({ readAll: false, payload: false, operate: true, operateAll: true });
  });
});
