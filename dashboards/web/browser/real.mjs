// Drives the UI inside the binary: `tasktrail up` with `tasktrail demo` as its
// workload, and a webhook that takes what alerts say. What is asserted here is what
// the server in memory cannot show: that alerts, breakers, keys and searches are
// the real ones. TASKTRAIL names a binary that is there already.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";
import assert from "node:assert/strict";
import { go, start } from "./harness.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const token = randomBytes(24).toString("hex");
const hooks = [];

async function freePorts(n) {
  const servers = Array.from({ length: n }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((s) => once(s, "listening")));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((done) => s.close(done))));
  return ports.map((p) => `127.0.0.1:${p}`);
}

async function ready(url, child) {
  for (const end = Date.now() + 90_000; Date.now() < end; ) {
    assert.equal(child.exitCode, null, "tasktrail up has ended");
    if (await fetch(url).then((r) => r.ok, () => false)) return;
    await new Promise((again) => setImmediate(again));
  }
  assert.fail("tasktrail up is not ready within 90 s");
}

async function serve(temp) {
  const bin = process.env.TASKTRAIL ?? join(temp, "tasktrail");
  if (!process.env.TASKTRAIL) await go(root, "build", "-o", bin, "./cmd/tasktrail");
  const hook = createServer((req, res) => {
    let body = "";
    req.on("data", (d) => (body += d));
    req.on("end", () => { hooks.push({ id: req.headers["webhook-id"], signature: req.headers["webhook-signature"], body }); res.writeHead(204).end(); });
  }).listen(0, "127.0.0.1");
  await once(hook, "listening");
  hook.unref();
  return async () => {
    const [http, grpc, otlp, engine, redis] = await freePorts(5);
    const env = { ...process.env, TASKTRAIL_ADMIN_TOKEN: token, TASKTRAIL_TOKEN: token };
    const run = (...args) => spawn(bin, [...args, "--log-level", "warn"], { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
    const up = run("up", "--data-dir", join(temp, "data"), "--http-addr", http, "--otlp-grpc-addr", grpc, "--otlp-http-addr", otlp, "--clickhouse-addr", engine, "--redis-addr", redis,
      "--webhook-url", `http://127.0.0.1:${hook.address().port}/hook`, "--webhook-allow-private", "--webhook-secret", `whsec_${randomBytes(24).toString("base64")}`);
    await ready(`http://${http}/readyz`, up).catch((e) => { up.kill("SIGKILL"); throw e; });
    const demo = run("demo", "--data-dir", join(temp, "demo"), "--namespace", "default", "--collector-url", `http://${otlp}`, "--rate", "4");
    return { base: `http://${http}`, children: [up, demo] };
  };
}

const t = await start(serve);
const { page, step, go: visit, signIn, live, text, check, dialog, api } = t;
// until asks the API again until what it says is there.
const until = async (what, path, has) => {
  for (const end = Date.now() + 90_000; Date.now() < end; ) {
    const found = has(await api(path));
    if (found) return found;
  }
  assert.fail(`${what}: not within 90 s`);
};

try {
  page.setDefaultTimeout(60_000);
  await step("sign in; tasks begin and end without a reload", async () => {
    await t.during((m) => m.includes("401"), async () => {
      await visit("/tasks");
      await page.waitForURL(/login/);
      await signIn(token);
      await page.waitForURL(/\/tasks/);
    });
    await live();
    await page.locator("[data-task] progress").first().waitFor();
    await page.locator("[data-task]", { hasText: "completed" }).first().waitFor();
    await check("active tasks");
  });
  await step("the search finds ended tasks by what they were", async () => {
    const failed = await until("a failed task", "/tasks?state=failed&type=send_email,payment,withdrawal", (a) => a.data.find((task) => task.error?.message));
    await visit(`/search?state=failed&q=${failed.task_id}`);
    await page.getByRole("link", { name: failed.task_id }).waitFor();
    await visit(`/search?error=${encodeURIComponent(failed.error.message.slice(0, 20))}&min_attempts=1&created_from=${encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString())}`);
    await page.locator("[data-task]").first().waitFor();
    await check("all tasks");
  });
  await step("an alert is taken up, and who was told is shown", async () => {
    const alert = await until("a firing alert", "/alerts?state=firing", (a) => a.data[0]);
    await visit(`/alerts?open=${alert.id}`);
    const row = page.locator(`[data-alert="${alert.id}"]`);
    await row.getByRole("button", { name: /^Acknowledge/ }).click();
    await page.getByLabel(/What you do about it/).fill("looked at by the test");
    await dialog().getByRole("button", { name: "Acknowledge" }).click();
    await row.getByText("looked at by the test").waitFor();
    assert.equal((await until("the acknowledgement", `/alerts/${alert.id}`, (a) => a.acknowledged)).reason, "looked at by the test");
    await check("alerts");
    await row.getByRole("link", { name: "who was told" }).click();
    await page.getByRole("list", { name: "Deliveries" }).getByText("delivered").first().waitFor();
    await check("deliveries");
  });
  await step("a channel's test arrives, signed, and can be sent again", async () => {
    await visit("/alerts?tab=deliveries");
    const before = hooks.length;
    await page.getByRole("button", { name: "Test webhook" }).click();
    await text(/^Test of webhook:/);
    await page.waitForFunction(() => /Test of webhook:.*delivered/.test(document.body.textContent));
    assert(hooks.length > before && hooks.at(-1).signature?.startsWith("v1,"), "no signed call arrived");
    await page.getByRole("button", { name: /^Send again/ }).first().click();
    await text(/^✓ Queued again/);
  });
  await step("a silence holds alerts back, and is expired", async () => {
    await visit("/alerts?tab=silences");
    await page.getByRole("button", { name: "New silence" }).click();
    await page.getByLabel("Value 1").fill("bank");
    await page.getByLabel(/^Reason/).fill("mended by the test");
    await dialog().getByRole("button", { name: "Silence", exact: true }).click();
    await page.getByRole("list", { name: "Silences" }).getByText("mended by the test").waitFor();
    await page.getByRole("button", { name: /^Expire/ }).click();
    await dialog().getByRole("button", { name: "Expire" }).click();
    await text(/^✓ Ended: provider is bank/);
    await until("the end of the silence", "/silences?state=active", (a) => a.data.length === 0);
  });
  await step("an input is edited, runs as it was edited, and stands with both hashes", async () => {
    const failed = await until("a task with a bad address", "/tasks?state=failed&reason=permanent", (a) => a.data.find((task) => task.metadata?.plan === "bad_address"));
    await t.task(failed.task_id);
    await page.getByRole("button", { name: "Edit and retry…" }).click();
    const area = dialog().getByRole("textbox").first();
    await area.fill((await area.inputValue()).replace("bad_address", "progress"));
    await page.getByRole("button", { name: "See what changes" }).click();
    await page.getByLabel(/Reason/).fill("work that tells how far it is");
    await check("the difference of an edit");
    await page.getByRole("button", { name: "Retry with this input" }).click();
    const became = page.getByRole("region", { name: "What became of it" });
    await became.getByText("Edited and retried: run 2").waitFor();
    await became.getByText("Taken by an agent").waitFor();
    await became.getByText("Completed").waitFor();
    // Only the work that was put in its place tells of steps.
    assert.equal((await until("the output of the edited run", `/tasks/${encodeURIComponent(failed.task_id)}`, (a) => a.output)).steps, 20);
    await page.getByRole("tab", { name: "Input/Output" }).click();
    const edit = page.getByRole("region", { name: "Edit for run 2", exact: true });
    await edit.getByText('"plan": "progress"').waitFor();
    assert.equal(new Set((await edit.locator("[title]").evaluateAll((all) => all.map((e) => e.getAttribute("title")))).filter((h) => /^[0-9a-f]{64}$/.test(h))).size, 2, "both hashes");
    await check("an edited input");
    await page.getByRole("tab", { name: "Attempts" }).click();
    await page.locator("[data-bar='2.1']").waitFor();
    await check("attempts of two runs");
  });
  await step("the payment's other tasks, found by their reference", async () => {
    const [first] = await until("two tasks of one payment", "/tasks?type=payment,withdrawal&limit=200", (a) => {
      const of = (task) => task.metadata?.payment_reference;
      const first = a.data.find((task) => of(task) && a.data.some((other) => other !== task && of(other) === of(task)));
      return first && [first];
    });
    await t.task(first.task_id, "payment");
    await page.locator("[data-other]").first().waitFor();
    await check("payment");
  });
  await step("a provider's breaker that opened stands in its lane", async () => {
    await until("a breaker that opened", "/providers?window=24h", (a) => a.data.find((p) => p.provider === "bank" && p.opened > 0));
    await visit("/providers?provider=bank&window=1h");
    const bank = page.locator("[data-provider=bank]");
    await bank.locator("rect").first().waitFor();
    await bank.getByRole("list", { name: "Changes" }).getByText(/of \d+ calls failed/).first().waitFor();
    await check("providers");
  });
  await step("a key that is made here opens what its scopes say, until it is revoked", async () => {
    await visit("/settings");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("What it is for").fill("from the browser");
    await dialog().getByRole("checkbox", { name: /read:all/ }).check();
    await dialog().getByRole("button", { name: "Make the key" }).click();
    const key = await page.locator("[data-secret]").innerText();
    await page.getByRole("button", { name: "I have stored it" }).click();
    const status = (path) => fetch(`${t.base}/api/v1${path}`, { headers: { Authorization: `Bearer ${key}` } }).then((r) => r.status);
    assert.equal(await status("/tasks"), 200);
    assert.equal(await status("/keys"), 403);
    await page.getByRole("button", { name: "Revoke from the browser" }).click();
    await dialog().getByRole("button", { name: "Revoke for ever" }).click();
    await text("Revoked: from the browser");
    for (const end = Date.now() + 30_000; (await status("/tasks")) !== 401; ) assert(Date.now() < end, "the revoked key is still taken");
    await check("keys");
  });
  await step("a re-enqueue URL is registered and removed", async () => {
    await page.getByRole("tab", { name: "Re-enqueue URLs" }).click();
    await page.getByRole("button", { name: "New URL" }).click();
    await page.getByLabel("Queue", { exact: true }).fill("orders");
    await page.getByLabel("URL", { exact: true }).fill("https://shop.example.com/requeue");
    await dialog().getByRole("button", { name: "Register" }).click();
    assert.match(await page.locator("[data-secret]").innerText(), /^whsec_/);
    await page.getByRole("button", { name: "I have stored it" }).click();
    await page.getByRole("button", { name: "Remove orders" }).click();
    await dialog().getByRole("button", { name: "Remove" }).click();
    await text("No queue has one");
  });
  await step("about: every part is ready", async () => {
    await page.getByRole("tab", { name: "About" }).click();
    await page.getByRole("list", { name: "Parts" }).getByText("ready").first().waitFor();
    assert.equal(await page.getByText("not ready").count(), 0);
    assert((await page.locator("[data-version]").innerText()).trim(), "no version");
    await check("about");
  });
  assert.deepEqual(t.faults, [], "the browser's console");
  console.log("all seen");
} catch (e) {
  console.error(`FAIL  ${e.message}`);
  await page.screenshot({ path: join(tmpdir(), "tasktrail-ui-failure.png") }).catch(() => undefined);
  if (t.faults.length) console.error(t.faults.slice(0, 5).join("\n"));
  process.exitCode = 1;
} finally {
  await t.stop();
}
