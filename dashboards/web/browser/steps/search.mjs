import assert from "node:assert/strict";

export async function steps({ page, step, during, go, text, seen, saved }) {
  const rows = () => page.locator("[data-task]");
  const count = (n) => page.waitForFunction((want) => document.querySelectorAll("[data-task]").length === want, n);
  await step("all tasks: ended ones too, filtered by state, everything in the address", async () => {
    // Only rows in sight are drawn: what completes meanwhile must not push them out of it.
    await go("/search?created_to=" + encodeURIComponent(new Date(Date.now() - 300_000).toISOString()));
    await rows().first().waitFor();
    await page.getByRole("button", { name: "completed" }).click();
    await page.waitForURL(/state=completed/);
    await rows().filter({ hasText: "completed" }).first().waitFor();
    await page.getByRole("button", { name: "failed", exact: true }).click();
    await page.waitForURL(/state=completed%2Cfailed/);
    await rows().filter({ hasText: "failed" }).first().waitFor();
    await seen("search");
    // What goes on completes before these meanwhile: they are looked for by their time.
    await go(`/search?state=completed,failed&created_to=${encodeURIComponent(new Date(Date.now() - 22 * 60_000).toISOString())}`);
    for (const id of ["pay-05", "done-11"]) await page.getByRole("link", { name: `asynq:default:${id}` }).waitFor();
  });
  await step("every filter asks the API by its name", async () => {
    // Each as the address has it, with how many of the tasks that were there at the start fit.
    await go("/search?type=payment&state=failed,retrying&created_to=2000-01-01T00:00:00Z");
    await text("No task fits the filter");
    await page.getByRole("button", { name: "Remove the filter Created before" }).click();
    await rows().first().waitFor();
    const more = page.locator("details:not([open]) summary");
    if (await more.count()) await more.click();
    for (const [field, value, url] of [["Queue", "payments", /queue=payments/], ["Error text", "maintenance", /error=maintenance/], ["Agent", "worker-1", /agent=worker-1/], ["Provider", "bank", /provider=bank/], ["User", "u-17", /user_id=u-17/], ["Payment reference", "ord-4711", /payment_reference=ord-4711/], ["At least attempts", "1", /min_attempts=1/], ["Took at most", "7d", /max_duration=7d/]]) {
      await page.getByLabel(field, { exact: true }).fill(value);
      await page.waitForURL(url);
    }
    await page.getByLabel("Severity").selectOption("critical");
    await page.getByLabel("Reason").selectOption("exhausted");
    await page.waitForURL(/reason=exhausted/);
    await page.getByRole("link", { name: "asynq:default:pay-05" }).waitFor();
    await page.getByLabel("Text", { exact: true }).fill("pay-03");
    await count(1);
    await seen("search-filters");
    await page.getByRole("button", { name: "Clear all" }).click();
    await page.waitForFunction(() => location.search === "");
  });
  await step("a filter that is wrong is named where it stands", async () => {
    await during((m) => m.includes("400"), async () => {
      await go("/search?trace_id=nonsense");
      await page.locator("[aria-invalid=true]").waitFor();
      await page.getByRole("alert").waitFor();
      assert.equal(await page.getByLabel("Trace id").getAttribute("aria-invalid"), "true");
      await page.getByRole("button", { name: "Remove the filter Trace id" }).click();
      await rows().first().waitFor();
      await go("/search?cursor=forged");
      await page.getByRole("button", { name: "To the first page" }).click();
      await rows().first().waitFor();
    });
  });
  await step("pages forwards and backwards, in the history too", async () => {
    // Fifty rows are more than there are; the server is asked for ten.
    await page.route("**/api/v1/tasks?*", (r) => r.continue({ url: r.request().url().replace("limit=50", "limit=10") }));
    await go("/search?state=completed,failed&created_to=" + encodeURIComponent(new Date().toISOString()));
    await count(10);
    const first = await rows().first().getAttribute("data-task");
    assert.equal(await page.getByRole("button", { name: "Newer" }).isDisabled(), true);
    await page.getByRole("button", { name: "Older" }).click();
    await page.waitForURL(/cursor=/);
    await page.waitForFunction((f) => document.querySelector("[data-task]")?.getAttribute("data-task") !== f, first);
    const second = await rows().first().getAttribute("data-task");
    await page.getByRole("button", { name: "Newer" }).click();
    await page.waitForFunction((f) => document.querySelector("[data-task]")?.getAttribute("data-task") === f, first);
    await page.goBack();
    await page.waitForFunction((f) => document.querySelector("[data-task]")?.getAttribute("data-task") === f, second);
    await page.unroute("**/api/v1/tasks?*");
  });
  await step("what is shown can be taken along", async () => {
    await go("/search?type=payment&state=failed");
    await rows().first().waitFor();
    const n = await rows().count();
    const csv = await saved(() => page.getByRole("button", { name: "CSV" }).click());
    assert.equal(csv.trim().split("\r\n").length, n + 1);
    assert.match(csv, /^namespace,task_id,type,/);
    assert.match(csv, /120\.00,USD,failed/);
    const json = JSON.parse(await saved(() => page.getByRole("button", { name: "JSON" }).click()));
    assert.equal(json.length, n);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy as curl" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^curl -H "Authorization: Bearer \$TASKTRAIL_TOKEN" 'http:.*\/api\/v1\/tasks\?state=failed&limit=50&type=payment'$/);
  });
  await step("a row opens by the keyboard, and back leads to where one was", async () => {
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.getByRole("list", { name: "Path through the states" }).waitFor();
    await page.goBack();
    await page.waitForURL(/search\?.*type=payment/);
    await rows().first().waitFor();
  });
}
