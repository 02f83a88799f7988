import assert from "node:assert/strict";

export async function steps({ page, step, during, go, text, check, live, signIn }) {
  const as = async (token, next) => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await go(`/login?next=${encodeURIComponent(next)}`);
    await signIn(token);
  };
  await step("one user's login sees that user's part", async () => {
    await during((m) => m.includes("401"), async () => {
      await go("/tasks");
      await as("user", "/dead-letters?severity=high");
      await page.waitForURL(/dead-letters\?severity=high/);
      await go("/health");
      await text("Not shown to this token");
      await go("/tasks/asynq%3Adefault%3Apay-01?tab=payloads");
      await text("read:payload");
    });
  });
  await step("what a token may not do is not offered, and said where it is asked for", async () => {
    await go("/alerts");
    await page.locator("[data-alert]").first().waitFor();
    assert.equal(await page.getByText("withdrawal failed").count(), 0, "another user's alert is shown");
    assert.equal(await page.getByRole("button", { name: /^(Acknowledge|Silence)/ }).count(), 0);
    assert.equal(await page.getByRole("tab").count(), 1);
    assert.equal(await page.getByRole("link", { name: "Providers" }).count(), 0);
    await go("/providers");
    await text("This token may not see providers");
    await go("/settings?tab=keys");
    await text("It needs the scope");
    await check("a page that is not the token's");
    await go("/settings");
    await text("From accepted to readable");
    assert.equal(await page.getByRole("tab").count(), 1);
    await go("/tasks");
    await live();
    await page.locator("[data-row]").first().waitFor();
    assert.equal(await page.getByRole("button", { name: /^Cancel / }).count(), 0);
  });
  await step("a token that reads everything changes nothing", async () => {
    await during((m) => m.includes("401"), async () => {
      await as("reader", "/alerts?tab=silences");
      await page.waitForURL(/tab=silences/);
    });
    await text("Making one needs the scope operate");
    assert.equal(await page.getByRole("button", { name: "New silence" }).count(), 0);
    await go("/settings?tab=channels");
    await text("shop-webhook");
    assert.equal(await page.getByRole("button", { name: /^(Test|New channel|Change|Remove)/ }).count(), 0);
    await go("/alerts?tab=rules");
    await page.getByRole("list", { name: "Rules" }).getByText("workers die").waitFor();
    assert.equal(await page.getByRole("button", { name: /^Try/ }).count(), 0);
    await go("/dead-letters");
    await page.locator("[data-letter]").first().waitFor();
    assert.equal(await page.getByRole("checkbox", { name: /^Select/ }).count(), 0);
    assert.equal(await page.getByRole("button", { name: /^(Retry|Discard)/ }).count(), 0);
    await check("dead letters of a token that changes nothing");
    await go("/errors?status=any");
    await page.locator("[data-group]").first().waitFor();
    assert.equal(await page.getByRole("button", { name: /^(Resolve|Ignore|Reopen)/ }).count(), 0);
    await go("/tasks/asynq%3Adefault%3Apay-03?tab=payloads");
    await text("it needs the scope read:payload");
    assert.equal(await page.getByRole("button", { name: /retry|cancel|discard/i }).count(), 0);
    // The server holds it too, whatever a page offers.
    await during((m) => m.includes("403"), async () => assert.equal(await page.evaluate(async () => (await fetch("/api/v1/keys")).status), 403));
  });
}
