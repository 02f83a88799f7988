// A session that ends, and a server that answers wrong, late or not at all: each page
// says what is the matter and has a way on.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const pages = [["/tasks", "tasks?*"], ["/search", "tasks?*"], ["/dead-letters", "failed-tasks?*"], ["/errors", "errors?*"], ["/alerts", "alerts?*"], ["/providers", "providers?*"], ["/health", "tasks/monitoring/health*"], ["/settings?tab=keys", "keys*"], ["/tasks/asynq%3Adefault%3Apay-01", "tasks/asynq*"]];

export async function steps({ page, context, base, step, during, go, text, signIn, live, task, check }) {
  await step("a session that ends is said, and signing in leads back", async () => {
    await during((m) => m.includes("401"), async () => {
      await go("/search?state=failed&type=payment");
      await page.locator("[data-row]").first().waitFor();
      await context.clearCookies();
      await page.getByLabel("Queue", { exact: true }).fill("payments");
      await page.waitForURL(/\/login/);
      await text("Your session has ended");
      await signIn("admin");
      await page.waitForURL((u) => u.pathname === "/search" && u.searchParams.get("state") === "failed" && u.searchParams.get("queue") === "payments");
      await page.locator("[data-row]").first().waitFor();
      await live();
    });
  });
  await step("a session that ends under a question keeps what was written", async () => {
    const question = page.getByRole("dialog", { name: "Cancel this task?" }), again = page.getByRole("dialog", { name: "Your session has ended" });
    await during((m) => m.includes("401") || m.includes("403"), async () => {
      await go("/tasks");
      await live();
      await page.getByRole("button", { name: "Cancel asynq:default:wait-0" }).click();
      await page.getByLabel(/Reason/).fill("the order was withdrawn by phone");
      await context.clearCookies();
      await question.getByRole("button", { name: "Cancel task" }).click();
      await again.waitFor();
      await check("signing in again");
      await signIn("nobody");
      await again.getByRole("alert").waitFor();
      await signIn("admin");
      await again.waitFor({ state: "detached" });
      assert.equal(await page.getByLabel(/Reason/).inputValue(), "the order was withdrawn by phone");
      await question.getByRole("button", { name: "Cancel task" }).click();
      await text("Cancel asked for: asynq:default:wait-0");
      await live();
      await task("asynq:default:wait-0", "timeline");
      await text("the order was withdrawn by phone");
      // Another's session shows nothing of what was there, and leaving leads to the login.
      await go("/tasks");
      await page.getByRole("button", { name: "Cancel asynq:default:wait-1" }).click();
      await page.getByLabel(/Reason/).fill("mine");
      await context.clearCookies();
      await page.getByRole("button", { name: "Cancel task" }).click();
      await again.waitFor();
      await signIn("reader");
      await again.waitFor({ state: "detached" });
      await page.locator("[data-task]").first().waitFor();
      assert.equal(await page.getByRole("button", { name: /^Cancel / }).count(), 0);
      await page.keyboard.press("?");
      await context.clearCookies();
      await page.evaluate(() => fetch("/api/v1/whoami").then(() => dispatchEvent(new Event("tasktrail:signed-out"))));
      await again.getByRole("button", { name: /^Leave/ }).click();
      await page.waitForURL(/\/login\?next=%2Ftasks/);
      await signIn("admin");
      await page.waitForURL(/\/tasks$/);
    });
  });
  const answers = [
    ["garbage", (r) => r.fulfill({ status: 200, contentType: "application/json", body: "<html>\u0000{" }), "The answer cannot be read"],
    ["something else", (r) => r.fulfill({ status: 200, contentType: "application/json", body: "[1,2]" }), "The answer cannot be read"],
    ["429", (r) => r.fulfill({ status: 429, headers: { "Retry-After": "9" }, contentType: "application/problem+json", body: JSON.stringify({ title: "Too many requests", code: "rate_limited", status: 429 }) }), "try again in 9 s"],
  ];
  for (const [name, answer, said] of answers) {
    await step(`each page where the server answers with ${name}`, async () => {
      await during(() => true, async () => {
        for (const [path, route] of pages) {
          await context.route(`**/api/v1/${route}`, answer);
          await go(path);
          await page.getByRole("alert").getByText(said).first().waitFor();
          await page.getByRole("button", { name: "Try again" }).first().waitFor();
          await context.unroute(`**/api/v1/${route}`);
        }
      });
    });
  }
  await step("a server that fails is tried again, then said; what is shown stays", async () => {
    await during(() => true, async () => {
      let asked = 0;
      await context.route("**/api/v1/errors?*", (r) => { asked++; return r.fulfill({ status: 500, contentType: "application/problem+json", body: JSON.stringify({ title: "Something went wrong here", code: "internal", status: 500, request_id: "req-7" }) }); });
      await go("/errors");
      await text("Something went wrong here");
      await text("req-7");
      assert.equal(asked, 3);
      await context.unroute("**/api/v1/errors?*");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.locator("[data-group]").first().waitFor();
    });
  });
  await step("a server that takes a question and never answers", async () => {
    // In a tab whose long waits are a tenth as long.
    const tab = await context.newPage();
    await tab.addInitScript(() => {
      const real = globalThis.setTimeout;
      globalThis.setTimeout = (f, ms, ...more) => real(f, ms >= 5000 ? ms / 10 : ms, ...more);
    });
    const held = [];
    await tab.route("**/api/v1/providers?*", (r) => void held.push(r));
    await tab.goto(base + "/providers");
    await tab.getByText("The server takes its time").waitFor();
    await tab.getByRole("alert").getByText("nothing came within 30 s").waitFor();
    for (const r of held) await r.abort().catch(() => undefined);
    await tab.unroute("**/api/v1/providers?*");
    await tab.getByRole("button", { name: "Try again" }).click();
    await tab.locator("[data-provider]").first().waitFor();
    await tab.close();
  });
  await step("a task that does not exist has a way on", async () => {
    await during((m) => m.includes("404"), async () => {
      await task("asynq:default:nobody\u202e<b>");
      await page.getByRole("alert").waitFor();
      await page.getByRole("link", { name: "All active tasks" }).click();
      await page.waitForURL(/\/tasks$/);
    });
  });
  await step("an input of 5 MB is cut, and the page answers", async () => {
    await context.route("**/api/v1/tasks/asynq%3Adefault%3Apay-05", async (r) => {
      const answer = await r.fetch();
      await r.fulfill({ response: answer, json: { ...(await answer.json()), input: { rows: Array.from({ length: 50_000 }, (_, i) => ({ i, text: "x".repeat(80) })) } } });
    });
    await task("asynq:default:pay-05", "payloads");
    await page.getByText(/the first 200/i).first().waitFor();
    const shown = await page.evaluate(() => document.querySelector("main").textContent.length);
    assert(shown < 1_000_000, `${shown} characters are drawn`);
    const from = Date.now();
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    assert(Date.now() - from < 10_000, "a key was answered after ten seconds");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^(Copy|Download)/ }).first().waitFor();
    await context.unroute("**/api/v1/tasks/asynq%3Adefault%3Apay-05");
  });
  await step("copy as curl does in a shell what the page does", async () => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await go(`/search?state=failed&q=${encodeURIComponent(`it's "$(echo pay)" \`id\``)}`);
    await text("No task fits the filter");
    const run = async () => {
      await page.getByRole("button", { name: "Copy as curl" }).click();
      await page.getByRole("button", { name: "Copied" }).waitFor();
      const command = await page.evaluate(() => navigator.clipboard.readText());
      const { stdout } = await promisify(execFile)("bash", ["-c", command.replace(/^curl /, "curl -sS --max-time 20 ")], { env: { ...process.env, TASKTRAIL_TOKEN: "admin" } });
      return JSON.parse(stdout);
    };
    assert.deepEqual((await run()).data, []);
    await go("/search?state=failed&type=payment");
    await page.locator("[data-row]").first().waitFor();
    const rows = await page.locator("[data-task]").count();
    assert.equal((await run()).data.length, rows);
    assert(base.startsWith("http://127.0.0.1:"));
  });
}
