// Runs steps that want a server and a browser of their own.
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { develop, start } from "./harness.mjs";

// play starts everything, runs the steps in turn, says what was seen, and leaves
// nothing running. flags are the server's.
export async function play(name, flags, steps) {
  const t = await start(develop(flags));
  t.enter = async (next, token = "admin") => {
    await t.go(`/login?next=${encodeURIComponent(next)}`);
    await t.signIn(token);
    await t.page.waitForURL((u) => u.pathname !== "/login");
  };
  try {
    await steps(t, t.step);
    assert.deepEqual(t.faults, [], "the browser's console");
    console.log(`${name}: all seen`);
  } catch (e) {
    console.error(`FAIL  ${name}: ${e.message}`);
    await t.page.screenshot({ path: join(tmpdir(), `tasktrail-ui-${name}.png`) }).catch(() => undefined);
    if (t.faults.length) console.error(t.faults.slice(0, 5).join("\n"));
    process.exitCode = 1;
  } finally {
    await t.stop();
  }
}
