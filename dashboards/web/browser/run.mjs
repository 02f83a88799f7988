// Drives the built UI in a real browser against the real API over a store in
// memory: every page and tab, live change, what operators do, both lights, wide and
// narrow, and axe on each. Screenshots go to docs/screenshots.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const here = fileURLToPath(new URL("..", import.meta.url));
const shots = join(here, "../../docs/screenshots");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const temp = mkdtempSync(join(tmpdir(), "tasktrail-ui-"));
assert(existsSync(join(here, "dist/index.html")), "nothing is built: npm run build");
mkdirSync(shots, { recursive: true });

const step = async (name, f) => {
  const from = Date.now();
  try {
    await f();
    console.log(`ok    ${name} (${Date.now() - from} ms)`);
  } catch (e) {
    e.message = `${name}: ${e.message}`;
    throw e;
  }
};

let server, context;
const faults = [];
let expected = () => false; // faults a step brings about on purpose
const stop = async () => {
  await context?.close().catch(() => undefined);
  if (server && server.exitCode === null) {
    server.kill("SIGTERM");
    await once(server, "exit");
  }
  rmSync(temp, { recursive: true, force: true });
};

async function main() {
  const bin = join(temp, "devserver");
  const build = spawn("go", ["build", "-o", bin, "./devserver"], { cwd: here, stdio: "inherit" });
  assert.equal((await once(build, "exit"))[0], 0, "the server for development does not build");
  server = spawn(bin, ["-addr", "127.0.0.1:0", "-dir", join(here, "dist")], { stdio: ["ignore", "pipe", "inherit"] });
  const base = String((await once(server.stdout, "data"))[0]).trim();
  context = await chromium.launchPersistentContext(join(temp, "profile"), {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, viewport: { width: 1280, height: 820 }, colorScheme: "light", bypassCSP: false,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(10_000);
  page.on("console", (m) => m.type() === "error" && !expected(m.text()) && faults.push(`${page.url()}: ${m.text()}`));
  page.on("pageerror", (e) => faults.push(`${page.url()}: ${e}`));
  page.on("dialog", (d) => { faults.push(`a script of the data ran: ${d.message()}`); void d.dismiss(); });

  const check = async (name) => {
    // The policy forbids a script tag; evaluate is not bound by it.
    await page.evaluate(axe);
    const r = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
    assert.deepEqual(r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`), [], `axe on ${name}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${name} is ${wide} px wider than the window`);
  };
  const seen = async (name) => {
    await check(name);
    await page.screenshot({ path: join(shots, `${name}.png`) });
  };
  const text = (s) => page.getByText(s).first().waitFor();
  // Rows stand one below the other, also after some came and went.
  const apart = () => page.waitForFunction(() => {
    const r = [...document.querySelectorAll("[data-task]")].map((e) => e.getBoundingClientRect()).sort((a, b) => a.top - b.top);
    return r.every((b, i) => i === 0 || Math.abs(b.top - r[i - 1].bottom) < 1.5);
  });
  const go = (path) => page.goto(base + path);
  const task = (id, tab) => go(`/tasks/${encodeURIComponent(id)}${tab ? `?tab=${tab}` : ""}`);

  await step("without a session the login is shown, a wrong token is refused", async () => {
    expected = (m) => m.includes("401");
    await go("/health");
    await page.waitForURL(/\/login\?next=/);
    await page.getByLabel(/Token/).fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await seen("login");
  });
  await step("login leads to where one wanted to go", async () => {
    await page.getByLabel(/Token/).fill("admin");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(/\/health/);
    expected = () => false;
    assert.equal(await page.evaluate(() => document.cookie), "", "a script can read the cookie");
  });
  await step("health", async () => {
    await text("Circuit breakers");
    await text("mean");
    await page.locator("canvas").first().waitFor();
    await seen("health");
  });
  await step("active tasks move without a reload", async () => {
    await go("/tasks");
    await page.locator("[data-live=live]").waitFor();
    const row = page.locator("[data-task='asynq:default:import-1'] progress");
    const before = await row.getAttribute("value");
    await page.waitForFunction((b) => document.querySelector("[data-task='asynq:default:import-1'] progress")?.getAttribute("value") !== b, before);
    await page.locator("[data-task^='asynq:default:mail-1']").first().waitFor();
    await text("backoff: base 1.0 s");
    await apart();
    await seen("active");
  });
  await step("a task completes before one's eyes", async () => {
    await page.locator("[data-task^='asynq:default:mail-1']", { hasText: "completed" }).first().waitFor();
    await apart();
  });
  await step("nothing moves under an open question", async () => {
    await page.getByRole("button", { name: "Cancel river:main:9001" }).click();
    await page.getByRole("dialog").waitFor();
    await check("the question");
    const frozen = () => page.locator("[data-task='asynq:default:import-1'] progress").getAttribute("value");
    await page.waitForTimeout(400);
    const a = await frozen();
    await page.waitForTimeout(1200);
    assert.equal(await frozen(), a);
    await page.screenshot({ path: join(shots, "cancel.png") });
  });
  await step("cancel, with the proof of the stop", async () => {
    await page.getByLabel(/Reason/).fill("not needed today");
    await page.getByRole("button", { name: "Cancel task" }).click();
    await text("Cancel asked for: river:main:9001");
    await page.locator("[data-task='river:main:9001']", { hasText: "cancelled" }).waitFor();
    await task("river:main:9001", "timeline");
    await text("the handler returned");
    await text("not needed today");
  });
  await step("the tabs of a task", async () => {
    await task("asynq:default:pay-00");
    await page.getByRole("list", { name: "Path through the states" }).waitFor();
    await text("Last error");
    await seen("task-overview");
    await page.getByRole("tab", { name: "Timeline" }).click();
    await text("moved to dlq");
    await page.getByRole("button", { name: /JSON of event 4/ }).click();
    await text("source_seq");
    await seen("task-timeline");
    await page.getByRole("tab", { name: "Attempts" }).click();
    await page.getByRole("button", { name: /attempt 2 of run 1/ }).click();
    await text("payments.Settle");
    await seen("task-attempts");
    await page.getByRole("tab", { name: "Input/Output" }).click();
    await text("4711");
    await seen("task-payloads");
    await page.getByRole("tab", { name: "Payment" }).click();
    await text("120.00 USD");
    await seen("task-payment");
    assert.match(page.url(), /tab=payment/);
  });
  await step("retry from the detail, seen to complete without a reload", async () => {
    await page.getByRole("tab", { name: "Overview" }).click();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByLabel(/Reason/).fill("the bank is back");
    await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
    await text(/Retry accepted, run 2/);
    await page.getByText("completed").first().waitFor();
    await page.getByRole("tab", { name: "Timeline" }).click();
    await text("the bank is back");
  });
  await step("dead letters: groups, filters, retry and discard", async () => {
    await go("/dead-letters");
    await page.getByRole("heading", { name: /maintenance until 04:00/ }).waitFor();
    await seen("dead-letters");
    await page.getByRole("button", { name: "Discard river:main:4200" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
    await text(/Discarded: river:main:4200/);
    await page.getByRole("link", { name: "river:main:4200" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Retry river:main:4201" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
    await text(/Retry accepted, run 2: river:main:4201/);
    await page.getByLabel("severity").selectOption("medium");
    await page.waitForURL(/severity=medium/);
    await page.getByRole("heading", { name: /smtp: no answer/ }).waitFor();
  });
  await step("a name with marks and tags is shown as what it is", async () => {
    await page.getByRole("link", { name: /<script>alert\(1\)/ }).click();
    await page.getByRole("heading", { name: /evil:\\u202e<script>/ }).waitFor();
    await check("a hostile name");
  });
  await step("errors", async () => {
    await go("/errors");
    await text("no such account 7777");
    await seen("errors");
  });
  await step("keys", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.waitForURL(/\/tasks/);
    await page.locator("[data-row]").first().waitFor();
    await page.keyboard.press("j");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-row")));
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("/");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-search")));
  });
  await step("a task that does not exist, and a server that fails", async () => {
    expected = () => true;
    await task("nobody");
    await page.getByRole("alert").waitFor();
    await context.route("**/api/v1/errors*", (r) => r.fulfill({ status: 500, body: "<html>garbage" }));
    await go("/errors");
    await text("The answer cannot be read");
    await context.unroute("**/api/v1/errors*");
    await page.getByRole("button", { name: "Try again" }).click();
    await text("no such account 7777");
    expected = () => false;
  });
  await step("dark", async () => {
    await page.getByLabel("Light", { exact: true }).selectOption("dark");
    for (const [path, name] of [["/tasks", "active-dark"], ["/dead-letters", "dead-letters-dark"], ["/health", "health-dark"], ["/tasks/asynq%3Adefault%3Apay-01?tab=attempts", "task-attempts-dark"]]) {
      await go(path);
      await page.locator("h1").waitFor();
      await page.locator("[data-live=live]").waitFor();
      if (name.startsWith("task")) await page.locator("svg").waitFor();
      await seen(name);
    }
    await page.getByLabel("Light", { exact: true }).selectOption("light");
  });
  await step("400 px wide", async () => {
    await page.setViewportSize({ width: 400, height: 820 });
    for (const [path, name] of [["/tasks", "active-narrow"], ["/dead-letters", "dead-letters-narrow"], ["/health", "health-narrow"], ["/errors", "errors-narrow"], ...["overview", "timeline", "attempts", "payloads", "payment"].map((t) => [`/tasks/asynq%3Adefault%3Apay-01?tab=${t}`, `task-${t}-narrow`])]) {
      await go(path);
      await page.locator("h1").waitFor();
      await page.locator("[data-live=live]").waitFor();
      await seen(name);
    }
    await page.setViewportSize({ width: 1280, height: 820 });
  });
  await step("one user's login sees that user's part", async () => {
    expected = (m) => m.includes("401");
    await page.getByRole("button", { name: "Sign out" }).click();
    await go("/login?next=" + encodeURIComponent("/dead-letters?severity=high"));
    await page.getByLabel(/Token/).fill("user");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(/dead-letters\?severity=high/);
    await go("/health");
    await text("Not shown to this token");
    await go("/tasks/asynq%3Adefault%3Apay-01?tab=payloads");
    await text("read:payload");
    expected = () => false;
  });
  await step("a server that goes away is said, and come back to", async () => {
    expected = () => true;
    await go("/tasks");
    await page.locator("[data-live=live]").waitFor();
    server.kill("SIGTERM");
    await once(server, "exit");
    await page.locator("[data-live=stale]").or(page.locator("[data-live=connecting]")).first().waitFor();
    await text("What is shown may be old");
    await check("a stale page");
    server = spawn(bin, ["-addr", base.replace("http://", ""), "-dir", join(here, "dist")], { stdio: ["ignore", "pipe", "inherit"] });
    await once(server.stdout, "data");
    await page.locator("[data-live=live]").waitFor({ timeout: 20_000 });
    await page.locator("[data-task='river:main:9001']", { hasText: "in progress" }).waitFor();
  });
  assert.deepEqual(faults, [], "the browser's console");
}

try {
  await main();
  console.log("all seen");
} catch (e) {
  console.error(`FAIL  ${e.message}`);
  await context?.pages()[0]?.screenshot({ path: join(tmpdir(), "tasktrail-ui-failure.png") }).catch(() => undefined);
  if (faults.length) console.error(faults.slice(0, 5).join("\n"));
  process.exitCode = 1;
} finally {
  await stop();
}
