// The inbox of dead letters and the groups of errors: filters, selection, and what is
// done to many at once.
import assert from "node:assert/strict";
import { play } from "./stage.mjs";

await play("inbox", [], async (s, step) => {
  const { page } = s;
  const dialog = () => page.getByRole("dialog");
  await s.enter("/dead-letters");
  await step("groups carry how the error went", async () => {
    await page.getByRole("heading", { name: /maintenance until 04:00/ }).waitFor();
    await page.locator("[data-spark]").first().waitFor();
    assert(Number(await page.locator("section", { hasText: "maintenance until 04:00" }).first().locator("[data-spark]").getAttribute("data-spark")) >= 18);
  });
  await step("rows are selected by mouse, range and key", async () => {
    const box = (id) => page.getByRole("checkbox", { name: `Select ${id}` });
    await box("asynq:default:pay-05").click();
    await box("asynq:default:pay-02").click({ modifiers: ["Shift"] });
    await s.text("4 selected");
    await page.getByRole("link", { name: "asynq:default:pay-03" }).focus();
    await page.keyboard.press("x");
    await s.text("3 selected");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Shift+X");
    await page.keyboard.press("Escape");
    await s.text("Select all here");
    await box("asynq:default:pay-05").click();
    await box("asynq:default:pay-00").click({ modifiers: ["Shift"] });
    await s.text("6 selected");
    await s.seen("dead-letters");
  });
  await step("a bulk retry says first what it would do", async () => {
    await page.getByRole("button", { name: "Retry selected…" }).click();
    await dialog().getByText("6 dead letters would be retried").waitFor();
    await dialog().getByText("By age").waitFor();
    await dialog().getByLabel(/Try first/).fill("2");
    await dialog().getByLabel(/A second/).fill("0");
    assert(await dialog().getByRole("button", { name: /Start with 2 of 6/ }).isDisabled(), "a rate of 0 can be sent");
    await dialog().getByLabel(/A second/).fill("2");
    await dialog().getByLabel(/Reason/).fill("the bank is back");
    await s.seen("bulk-start");
  });
  await step("a wish sent twice is one action, and its rules stop it", async () => {
    // The first answer is lost on its way: the same key finds the same action.
    let lost = 0;
    const keys = [];
    await s.context.route("**/bulk-retry*", async (r) => {
      keys.push(r.request().headers()["idempotency-key"]);
      const answer = await r.fetch();
      if (lost++ === 0) return r.abort();
      await r.fulfill({ response: answer });
    });
    await s.during((m) => m.includes("ERR_FAILED"), async () => {
      await dialog().getByRole("button", { name: /Start with 2 of 6/ }).click();
      await dialog().getByText("The server does not answer").waitFor();
      await dialog().getByRole("button", { name: /Start with 2 of 6/ }).click();
      await page.waitForURL(/bulk=/);
    });
    await s.context.unroute("**/bulk-retry*");
    assert.equal(new Set(keys).size, 1, "the second try had another key");
    assert.equal((await page.evaluate(() => fetch("/api/v1/bulk").then((r) => r.json()))).data.length, 1);
    await dialog().getByText("the breaker of bank is open").waitFor();
    await dialog().getByText(/stopped/).first().waitFor();
    await s.seen("bulk-stopped");
  });
  await step("all of an error: canary, progress, pause, resume, each item's outcome", async () => {
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Select none" }).or(page.getByText("Select all here")).first().waitFor();
    const group = page.locator("section", { has: page.getByRole("heading", { name: /maintenance until 04:00/ }) });
    await group.getByRole("button", { name: "Retry all…" }).click();
    await dialog().getByText("6 dead letters would be retried").waitFor();
    await dialog().getByLabel(/Stop before/).uncheck();
    await dialog().getByLabel(/Try first/).fill("1");
    await dialog().getByLabel(/A second/).fill("1");
    await dialog().getByRole("button", { name: /Start with 1 of 6/ }).click();
    await page.waitForFunction(() => Number(document.querySelector("dialog [data-over]")?.getAttribute("data-over")) >= 1);
    await dialog().getByRole("button", { name: "Pause" }).click();
    await dialog().getByRole("button", { name: "Resume" }).waitFor();
    await s.seen("bulk-paused");
    await dialog().getByRole("button", { name: "Resume" }).click();
    await page.waitForFunction(() => document.querySelector("dialog [data-over]")?.getAttribute("data-over") === "6", undefined, { timeout: 30_000 });
    await dialog().getByText("completed").first().waitFor();
    await dialog().getByLabel("Outcome").selectOption("succeeded");
    await page.waitForFunction(() => document.querySelectorAll("dialog ul[aria-label=Items] li").length === 6);
    await s.seen("bulk-progress");
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: /maintenance until 04:00/ }).waitFor({ state: "detached" });
    await page.getByRole("region", { name: "Recent bulk actions" }).getByRole("button").first().waitFor();
  });
  await step("a bulk discard wants a reason, and can be aborted", async () => {
    await page.getByLabel("severity").selectOption("high");
    await page.waitForURL(/severity=high/);
    await page.getByRole("button", { name: "Discard all that fit…" }).click();
    await dialog().getByText(/would be discarded for good/).waitFor();
    await dialog().getByLabel(/A second/).fill("0.2");
    await dialog().getByRole("button", { name: /Discard \d/ }).click();
    assert.equal(await page.evaluate(() => document.querySelector("dialog input:invalid") !== null), true, "discarded without a reason");
    await dialog().getByLabel(/Reason/).fill("the account was closed");
    await dialog().getByRole("button", { name: /Discard \d/ }).click();
    await page.waitForURL(/bulk=/);
    await dialog().getByRole("button", { name: "Abort…" }).click();
    await dialog().getByRole("button", { name: "Abort for good" }).click();
    await dialog().getByText("aborted").first().waitFor();
    await page.keyboard.press("Escape");
  });
  await step("filters live in the address; a wrong one is said", async () => {
    await s.go("/dead-letters?status=any&type=withdrawal&min_attempts=1");
    await page.getByRole("link", { name: "river:main:4200" }).waitFor();
    await s.during((m) => m.includes("400"), async () => {
      await s.go("/dead-letters?min_duration=soon");
      await page.getByRole("alert").waitFor();
    });
    await page.getByRole("button", { name: "Clear the filter" }).first().click();
    await page.getByRole("heading", { name: /smtp: no answer/ }).waitFor();
  });
  await step("an error is resolved, ignored and opened again", async () => {
    await s.go("/errors");
    const group = (text) => page.locator("[data-group]", { hasText: text });
    await group("smtp: no answer").getByRole("button", { name: /^Resolve/ }).click();
    await dialog().getByLabel(/Reason/).fill("the relay was moved");
    await dialog().getByRole("button", { name: "Resolve" }).click();
    await s.text(/Resolved: smtp: no answer/);
    await group("smtp: no answer").waitFor({ state: "detached" });
    await group("no such account").getByRole("button", { name: /^Ignore/ }).click();
    await dialog().getByRole("button", { name: "Ignore" }).click();
    await group("no such account").waitFor({ state: "detached" });
    await page.getByLabel("status").selectOption("any");
    await group("smtp: no answer").getByText("the relay was moved").waitFor();
    await s.seen("errors");
    await group("no such account").getByRole("button", { name: /^Reopen/ }).click();
    await dialog().getByRole("button", { name: "Reopen" }).click();
    await group("no such account").getByRole("button", { name: /^Resolve/ }).waitFor();
  });
  await step("narrow and dark", async () => {
    await page.getByLabel("Light", { exact: true }).selectOption("dark");
    await page.setViewportSize({ width: 400, height: 820 });
    for (const path of ["/dead-letters?status=any", "/errors?status=any"]) {
      await s.go(path);
      await page.locator("[data-row]").first().waitFor();
      await s.check(`${path} narrow and dark`);
    }
  });
});
