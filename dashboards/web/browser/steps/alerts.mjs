import assert from "node:assert/strict";

export async function steps({ page, step, go, text, seen, check, dialog, api }) {
  const row = (title) => page.locator("[data-alert]", { hasText: title });
  await step("alerts: severity, money, and where they lead", async () => {
    await go("/alerts");
    await row("the breaker of bank opened").waitFor();
    const pay = row("asynq:default:pay-05");
    assert.match(await pay.innerText(), /critical[\s\S]*120\.00 USD/);
    await pay.getByRole("link", { name: "asynq:default:pay-05" }).waitFor();
    await row("the breaker of bank opened").getByRole("button", { name: "the breaker of bank opened", exact: true }).click();
    await text("Tasks that call bank wait until it closes.");
    await page.getByRole("link", { name: "runbook" }).waitFor();
    await seen("alerts");
    // A runbook that is a script is no link.
    await row("<script>").getByRole("button", { name: /^send_email failed/ }).click();
    await row("<script>").getByRole("link", { name: "who was told" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "runbook" }).count(), 0);
  });
  await step("acknowledge: who and why is shown to everybody", async () => {
    await row("the breaker of bank opened").getByRole("button", { name: /^Acknowledge/ }).click();
    await dialog("Acknowledge this alert?").waitFor();
    await check("the question of an acknowledgement");
    await page.getByLabel(/What you do about it/).fill("calling the bank");
    await dialog().getByRole("button", { name: "Acknowledge" }).click();
    await text(/Acknowledged: the breaker of bank opened/);
    await row("the breaker of bank opened").getByText("calling the bank").waitFor();
    await page.getByRole("button", { name: "acknowledged", exact: true }).click();
    await page.waitForURL(/show=acknowledged/);
    await page.waitForFunction(() => document.querySelectorAll("[data-alert]").length === 1);
    await page.getByRole("button", { name: "unacknowledged" }).click();
    await page.waitForFunction(() => document.querySelectorAll("[data-alert]").length > 3);
    assert.equal(await row("the breaker of bank opened").count(), 0);
  });
  await step("resolved ones, a filter, and a way out of it", async () => {
    await page.getByRole("button", { name: "resolved" }).click();
    await row("nightly_report did not start").waitFor();
    await page.getByLabel("Text", { exact: true }).fill("nothing has this");
    await text("No alert fits");
    await page.getByRole("button", { name: "Show what is firing" }).click();
    await row("the breaker of bank opened").waitFor();
  });
  await step("silence from an alert, with what it would hold back", async () => {
    await row("the breaker of bank opened").getByRole("button", { name: /^Silence/ }).click();
    await dialog("Silence alerts").waitFor();
    assert.equal(await page.getByLabel("Value 1").inputValue(), "bank");
    await text("Of the alerts shown it holds back 7.");
    await page.getByRole("button", { name: "One more" }).click();
    await page.getByLabel("Value 2").fill("critical");
    assert.equal(await dialog().getByRole("button", { name: "Silence", exact: true }).isDisabled(), true, "a silence without a reason");
    await page.getByLabel("For", { exact: true }).selectOption("8h");
    await page.getByLabel(/^Reason/).fill("the bank is being mended");
    await seen("silence");
    await dialog().getByRole("button", { name: "Silence", exact: true }).click();
    await text(/^✓ Silenced for 8h: .*provider is bank/);
    await row("the breaker of bank opened").getByText("nobody is called for it").waitFor();
  });
  await step("silences: listed, and expired before their time", async () => {
    await page.getByRole("tab", { name: "Silences" }).click();
    await page.waitForURL(/tab=silences/);
    await page.getByRole("list", { name: "Silences" }).getByText("the bank is being mended").waitFor();
    await seen("silences");
    await page.getByRole("button", { name: /^Change the silence/ }).click();
    await dialog("Change this silence").waitFor();
    assert.equal(await page.getByLabel(/^Reason/).inputValue(), "the bank is being mended");
    await page.getByLabel(/^Reason/).fill("the bank is still being mended");
    await dialog().getByRole("button", { name: "Change", exact: true }).click();
    await page.getByRole("list", { name: "Silences" }).getByText("the bank is still being mended").waitFor();
    await page.getByRole("button", { name: /^Expire the silence/ }).click();
    await dialog().getByRole("button", { name: "Expire" }).click();
    await text("Nothing is silenced");
    assert.deepEqual((await api("/silences?state=active")).data, []);
  });
  await step("channels: how they do, a test, and the log", async () => {
    await page.getByRole("tab", { name: "Channels and deliveries" }).click();
    await text("the hook was removed");
    await text("nothing is sent: its URL is not set");
    await page.getByRole("button", { name: "Test oncall" }).click();
    await text("Test of oncall:");
    await page.getByRole("list", { name: "Deliveries" }).getByText("This is a test").waitFor();
    await page.getByRole("button", { name: "shop-webhook", exact: true }).click();
    await page.waitForURL(/channel=shop-webhook/);
    await text("HTTP 410");
    await seen("deliveries");
    await page.getByRole("button", { name: "Send again: withdrawal failed: river:main:4201" }).click();
    await text("Queued again, under its id: withdrawal failed: river:main:4201");
    await page.getByLabel("Outcome").selectOption("failed");
    await text("Nothing here");
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByRole("list", { name: "Deliveries" }).getByText("11 dead letters wait").waitFor();
  });
}
