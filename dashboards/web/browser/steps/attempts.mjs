import assert from "node:assert/strict";

export async function steps({ page, step, task, text, seen, check }) {
  const lanes = () => page.getByRole("img", { name: /attempts? on one axis/ });
  const bar = (key) => page.locator(`[data-bar="${key}"]`);
  const width = async (key) => (await bar(key).boundingBox())?.width ?? 0;
  await step("a lane an attempt, waits with their reason, runs, breaker, operators, folded idle time", async () => {
    await task("asynq:default:pay-twice", "attempts");
    await lanes().waitFor();
    await page.waitForFunction(() => document.querySelectorAll("[data-bar]").length === 5);
    for (const says of ["2.0 s backoff", "retried by hand", "retried by key:ops: the bank says it is back", "✓ closed", "✕ open", "1 d 1 h", "connection_refused"]) await lanes().getByText(says, { exact: true }).first().waitFor({ state: "attached" });
    await text("half of this type’s successful attempts end within 1.0 s");
    await page.getByRole("list", { name: "What operators did, and the breaker" }).getByText("breaker of bank opened").waitFor();
    // Later attempts stand further right, under the same axis.
    const at = await page.locator("[data-bar]").evaluateAll((all) => all.map((b) => b.getBoundingClientRect().left));
    assert.deepEqual(at, [...at].sort((a, b) => a - b));
  });
  await step("a click opens the error, its stack, and the difference from the attempt before", async () => {
    await bar("1.3").click();
    const one = page.getByRole("region", { name: "Attempt 3 of run 1" });
    await one.getByText("dial tcp 10.0.0.7:443: connect: connection refused").first().waitFor();
    await one.getByText("bank.dial (dial.go:31)").first().waitFor();
    const other = one.getByRole("group", { name: "Difference from the attempt before" });
    await other.getByText("http_503").waitFor();
    await other.getByText("700 ms shorter").waitFor();
    await seen("task-attempts");
    assert.match(page.url(), /attempt=1\.3/);
    await page.getByRole("button", { name: /attempt 2 of run 1/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Attempt 2 of run 1" }).getByText("The same error again").waitFor();
    await page.getByRole("region", { name: "Attempt 2 of run 1" }).getByRole("button", { name: "Close" }).click();
    await page.waitForURL((u) => !u.searchParams.has("attempt"));
  });
  await step("a pull over the lanes zooms, and the address keeps it", async () => {
    const before = await width("1.1");
    const from = await bar("1.1").boundingBox(), to = await bar("1.2").boundingBox();
    await page.mouse.move(from.x + 2, from.y + 30);
    await page.mouse.down();
    await page.mouse.move(to.x + to.width, to.y, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/zoom=\d+-\d+/);
    await page.waitForFunction((w) => (document.querySelector('[data-bar="1.1"]')?.getBoundingClientRect().width ?? 0) > w * 2, before);
    assert.equal(await bar("2.2").count(), 0, "what is outside the part is drawn");
    await page.reload();
    await lanes().waitFor();
    await page.waitForFunction((w) => (document.querySelector('[data-bar="1.1"]')?.getBoundingClientRect().width ?? 0) > w * 2, before);
    await check("a part of the axis");
    await page.getByRole("button", { name: "Show all" }).click();
    await page.waitForURL((u) => !u.searchParams.has("zoom"));
  });
  await step("the keyboard zooms too", async () => {
    const until = page.getByRole("slider", { name: "Shown until" });
    await until.focus();
    const before = await width("1.1");
    for (let i = 0; i < 5; i++) await page.keyboard.press("Shift+ArrowLeft");
    await page.waitForFunction(() => Number(document.querySelectorAll("[role=slider]")[1]?.getAttribute("aria-valuenow")) === 50);
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => Number(document.querySelectorAll("[role=slider]")[1]?.getAttribute("aria-valuenow")) === 52);
    assert.match(page.url(), /zoom=0-\d+/);
    assert(await width("1.1") > before * 1.3);
    assert.match(await until.getAttribute("aria-valuetext"), /after the first$/);
    await seen("task-attempts-zoom");
    await page.keyboard.press("Escape");
    await page.waitForURL((u) => !u.searchParams.has("zoom"));
  });
  await step("one run alone, and what comes next", async () => {
    await page.getByLabel("Runs").selectOption("2");
    await page.waitForURL(/run=2/);
    await page.waitForFunction(() => document.querySelectorAll("[data-bar]").length === 2);
    await task("asynq:default:pay-live", "attempts");
    await text("next");
    await lanes().getByText("10 min 0 s backoff").waitFor({ state: "attached" });
  });
}
