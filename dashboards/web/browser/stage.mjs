// The stage of browser tests: the real API over a store in memory, a browser with a
// fresh profile, and what every step needs.
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

// open starts everything; end stops all that was started.
export async function open({ flags = [] } = {}) {
  assert(existsSync(join(here, "dist/index.html")), "nothing is built: npm run build");
  mkdirSync(shots, { recursive: true });
  const temp = mkdtempSync(join(tmpdir(), "tasktrail-ui-"));
  const s = { base: "", page: undefined, context: undefined, server: undefined, faults: [], expected: () => false, shots };
  const bin = join(temp, "devserver");
  const build = spawn("go", ["build", "-o", bin, "./devserver"], { cwd: here, stdio: "inherit" });
  assert.equal((await once(build, "exit"))[0], 0, "the server for development does not build");

  s.serve = async (addr = "127.0.0.1:0") => {
    s.server = spawn(bin, ["-addr", addr, "-dir", join(here, "dist"), ...flags], { stdio: ["ignore", "pipe", "inherit"] });
    s.base = String((await once(s.server.stdout, "data"))[0]).trim();
  };
  s.unserve = async () => {
    if (s.server && s.server.exitCode === null) {
      s.server.kill("SIGTERM");
      await once(s.server, "exit");
    }
  };
  s.end = async () => {
    await s.context?.close().catch(() => undefined);
    await s.unserve();
    rmSync(temp, { recursive: true, force: true });
  };
  s.watch = (page) => {
    page.setDefaultTimeout(15_000);
    page.on("console", (m) => m.type() === "error" && !s.expected(m.text()) && s.faults.push(`${page.url()}: ${m.text()}`));
    page.on("pageerror", (e) => s.faults.push(`${page.url()}: ${e}`));
    page.on("dialog", (d) => { s.faults.push(`a script of the data ran: ${d.message()}`); void d.dismiss(); });
    return page;
  };
  await s.serve();
  s.context = await chromium.launchPersistentContext(join(temp, "profile"), {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, viewport: { width: 1280, height: 820 }, colorScheme: "light",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
  const page = (s.page = s.watch(s.context.pages()[0] ?? (await s.context.newPage())));

  s.go = (path) => page.goto(s.base + path);
  s.task = (id, tab) => s.go(`/tasks/${encodeURIComponent(id)}${tab ? `?tab=${tab}` : ""}`);
  s.text = (t) => page.getByText(t).first().waitFor();
  s.signIn = async (token = "admin", next = "/tasks") => {
    await s.go(`/login?next=${encodeURIComponent(next)}`);
    await page.getByLabel(/Token/).fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((u) => u.pathname !== "/login");
  };
  s.check = async (name) => {
    // The policy forbids a script tag; evaluate is not bound by it.
    await page.evaluate(axe);
    const r = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
    assert.deepEqual(r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`), [], `axe on ${name}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${name} is ${wide} px wider than the window`);
  };
  s.seen = async (name) => {
    await s.check(name);
    await page.screenshot({ path: join(shots, `${name}.png`) });
  };
  return s;
}

// play runs steps in turn, says what was seen, and leaves nothing running.
export async function play(name, options, steps) {
  let s;
  try {
    s = await open(options);
    await steps(s, async (title, f) => {
      const from = Date.now();
      try {
        await f();
        console.log(`ok    ${title} (${Date.now() - from} ms)`);
      } catch (e) {
        e.message = `${title}: ${e.message}`;
        throw e;
      }
    });
    assert.deepEqual(s.faults, [], "the browser's console");
    console.log(`${name}: all seen`);
  } catch (e) {
    console.error(`FAIL  ${name}: ${e.message}`);
    await s?.page?.screenshot({ path: join(tmpdir(), `tasktrail-ui-${name}.png`) }).catch(() => undefined);
    if (s?.faults.length) console.error(s.faults.slice(0, 5).join("\n"));
    process.exitCode = 1;
  } finally {
    await s?.end();
  }
}
