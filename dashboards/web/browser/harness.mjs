// What every step stands on: the server with its living tasks, one browser with a
// fresh profile, axe, and screenshots.
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

// develop is the server with living tasks in memory, with further flags of its own.
// What serves is a function of a directory of its own; it builds, and returns what
// starts a server (where it listened before, where it did) and says how it can be
// reached.
export const develop = (flags = []) => async (temp) => {
  const bin = join(temp, "devserver");
  await go(here, "build", "-o", bin, "./devserver");
  return async (base) => {
    const child = spawn(bin, ["-addr", base ? base.replace("http://", "") : "127.0.0.1:0", "-dir", join(here, "dist"), ...flags], { stdio: ["ignore", "pipe", "inherit"] });
    return { base: String((await once(child.stdout, "data"))[0]).trim(), children: [child] };
  };
};

// go runs the Go tool.
export async function go(cwd, ...args) {
  const child = spawn("go", args, { cwd, stdio: "inherit" });
  assert.equal((await once(child, "exit"))[0], 0, `go ${args.join(" ")} failed`);
}

// start starts everything; its result is what steps are given, and stop ends it all.
export async function start(serve = develop()) {
  assert(existsSync(join(here, "dist/index.html")), "nothing is built: npm run build");
  mkdirSync(shots, { recursive: true });
  const temp = mkdtempSync(join(tmpdir(), "tasktrail-ui-"));
  const t = { errors: [], times: [], profile: join(temp, "profile") };
  let children = [];

  t.stop = async () => {
    await t.context?.close().catch(() => undefined);
    await t.stopServer();
    rmSync(temp, { recursive: true, force: true });
  };
  // The last that was started is the first to end.
  t.stopServer = async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    children = [];
  };
  try {
    const run = await serve(temp);
    t.startServer = async () => {
      const up = await run(t.base);
      children = up.children;
      Object.assign(t, up);
    };
    await t.startServer();
    t.context = await chromium.launchPersistentContext(t.profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, viewport: { width: 1280, height: 820 }, colorScheme: "light", bypassCSP: false, acceptDownloads: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
    });
    t.page = t.context.pages()[0] ?? (await t.context.newPage());
  } catch (e) {
    await t.stop();
    throw e;
  }
  tools(t);
  return t;
}

// tools adds what steps do again and again.
function tools(t) {
  const { page } = t;
  page.setDefaultTimeout(20_000);
  // What is said of an error may come later than the error was: it is judged by its time.
  page.on("console", (m) => m.type() === "error" && t.errors.push({ at: m.timestamp(), text: m.text(), url: page.url() }));
  page.on("pageerror", (e) => t.errors.push({ at: 0, text: String(e), url: page.url() }));
  page.on("dialog", (d) => { t.errors.push({ at: 0, text: `a script of the data ran: ${d.message()}`, url: page.url() }); void d.dismiss(); });
  // faults are the errors nobody expected.
  const expected = (e) => t.times.some((w) => e.at >= w.from - 100 && e.at <= w.to + 100 && w.expected(e.text));
  Object.defineProperty(t, "faults", { get: () => t.errors.filter((e) => !expected(e)).map((e) => `${e.url}: ${e.text}`) });

  t.step = async (name, f) => {
    const from = Date.now();
    try {
      await f();
      console.log(`ok    ${name} (${Date.now() - from} ms)`);
    } catch (e) {
      e.message = `${name}: ${e.message}`;
      throw e;
    }
  };
  // during lets faults pass that a step brings about on purpose.
  t.during = async (expected, f) => {
    const time = { from: Date.now(), to: Infinity, expected };
    t.times.push(time);
    try {
      await f();
    } finally {
      time.to = Date.now();
    }
  };
  t.check = async (name) => {
    // The policy forbids a script tag; evaluate is not bound by it.
    await page.evaluate(axe);
    const r = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
    assert.deepEqual(r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`), [], `axe on ${name}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${name} is ${wide} px wider than the window`);
  };
  t.seen = async (name) => {
    await t.check(name);
    await page.screenshot({ path: join(shots, `${name}.png`) });
  };
  t.shot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });
  t.text = (s) => page.getByText(s).first().waitFor();
  t.go = (path) => page.goto(t.base + path);
  t.task = (id, tab) => t.go(`/tasks/${encodeURIComponent(id)}${tab ? `?tab=${tab}` : ""}`);
  t.live = () => page.locator("[data-live=live]").waitFor();
  t.dialog = (name) => page.getByRole("dialog", name ? { name } : {});
  // api asks as the page would, with its session.
  t.api = (path) => page.evaluate(async (p) => (await fetch(`/api/v1${p}`)).json(), path);
  t.signIn = async (token) => {
    await page.getByLabel(/Token/).fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  // saved returns the text of the file that a click saves.
  t.saved = async (click) => {
    const [download] = await Promise.all([page.waitForEvent("download"), click()]);
    return readFileSync(await download.path(), "utf8");
  };
}
