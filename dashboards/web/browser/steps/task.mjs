import assert from "node:assert/strict";

export async function steps({ page, step, task, text, seen, dialog }) {
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
    await dialog().getByRole("button", { name: "Retry" }).click();
    await text(/Retry accepted, run 2/);
    await page.getByText("completed").first().waitFor();
    await page.getByRole("tab", { name: "Timeline" }).click();
    await text("the bank is back");
  });
}
