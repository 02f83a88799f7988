// Drives the built UI in a real browser against the real API over a store in
// memory: every page and tab, live change, what operators do, both lights, wide and
// narrow, and axe on each. Screenshots go to docs/screenshots. Names of steps as
// arguments run those alone (and the login): node browser/run.mjs alerts search.
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { start } from "./harness.mjs";

const names = ["login", "weight", "health", "active", "task", "attempts", "edit", "letters", "errors", "search", "alerts", "providers", "settings", "alertset", "keys", "trouble", "faults", "hostile", "looks", "user", "gone"];
const wanted = process.argv.slice(2);
const unknown = wanted.filter((n) => !names.includes(n));
if (unknown.length) {
  console.error(`no such step: ${unknown.join(", ")}; there are ${names.join(", ")}`);
  process.exit(2);
}

const t = await start();
try {
  for (const name of names) {
    if (wanted.length && name !== "login" && !wanted.includes(name)) continue;
    const { steps } = await import(`./steps/${name}.mjs`);
    await steps(t);
  }
  assert.deepEqual(t.faults, [], "the browser's console");
  console.log("all seen");
} catch (e) {
  console.error(`FAIL  ${e.message}`);
  await t.page.screenshot({ path: join(tmpdir(), "tasktrail-ui-failure.png") }).catch(() => undefined);
  if (t.faults.length) console.error(t.faults.slice(0, 5).join("\n"));
  process.exitCode = 1;
} finally {
  await t.stop();
}
