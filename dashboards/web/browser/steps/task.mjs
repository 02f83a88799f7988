import assert from "node:assert/strict";

export async function steps({ page, step, go, task, text, seen, dialog }) {
  await step("the tabs of a task", async () => {
    await task("asynq:default:pay-twice");
    await page.getByRole("list", { name: "Path through the states" }).waitFor();
    await text("No further attempt: every attempt it may have was used");
    await text("Last error");
    await seen("task-overview");
    await page.getByRole("tab", { name: "Input/Output" }).click();
    await text("One part was taken out before it was recorded: card");
    await seen("task-payloads");
    await page.getByRole("tab", { name: "Payment" }).click();
    await text("120.00 USD reaches 100 USD, from where on a failure is critical.");
    await page.locator("[data-other='asynq:default:pay-05']").waitFor();
    assert.equal(await page.locator("[data-other='asynq:default:pay-twice']").count(), 0, "a task is among its own others");
    await seen("task-payment");
    assert.match(page.url(), /tab=payment/);
    await page.keyboard.press("3");
    await page.waitForURL(/tab=attempts/);
  });
  await step("the timeline: filters, text, raw events, gaps, all in the address", async () => {
    await page.getByRole("tab", { name: "Timeline" }).click();
    await page.getByRole("region", { name: "Events" }).getByText("moved to dlq").first().waitFor();
    await seen("task-timeline");
    await page.getByRole("button", { name: "⌇ 1 gap" }).click();
    await page.waitForURL(/types=gap/);
    await text("event 6 of the run is missing");
    await page.getByLabel("Event", { exact: true }).selectOption("attempt_failed");
    await page.getByLabel("Run").selectOption("1");
    await text(/^3 of \d+ events/);
    await page.getByLabel("Text in the events").fill("refused");
    await text(/^1 of \d+ events/);
    await page.getByRole("button", { name: /JSON of event 1/ }).click();
    await text("source_seq");
    await page.waitForURL(/event=/);
    await page.reload();
    await text("source_seq");
    await text(/^1 of \d+ events/);
  });
  await step("retry from the detail, followed until it completed without a reload", async () => {
    await task("asynq:default:pay-00");
    await page.getByRole("button", { name: "Retry", exact: true }).click();
    await page.getByLabel(/Reason/).fill("the bank is back");
    await dialog().getByRole("button", { name: "Retry" }).click();
    const became = page.getByRole("region", { name: "What became of it" });
    await became.getByText("Retried: run 2").waitFor();
    await became.getByText("Completed").waitFor();
    assert.match(page.url(), /did=retry\.2/);
    await became.getByRole("button", { name: "Close" }).click();
    await page.getByRole("tab", { name: "Timeline" }).click();
    await text("the bank is back");
  });
  await step("a name in the address that is none opens the overview", async () => {
    await go("/tasks/asynq%3Adefault%3Apay-00?tab=nonsense&did=drop.1&zoom=x&attempt=9.9");
    await page.getByRole("list", { name: "Path through the states" }).waitFor();
    assert.equal(await page.getByRole("region", { name: "What became of it" }).count(), 0);
  });
}
