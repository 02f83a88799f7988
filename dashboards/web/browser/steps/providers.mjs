import assert from "node:assert/strict";

export async function steps({ page, step, go, text, seen }) {
  await step("providers: state, since, until, and the counts that tripped it", async () => {
    await go("/providers");
    const bank = page.locator("[data-provider=bank]");
    await bank.getByText("14 of 20 calls had failed").waitFor();
    await bank.getByText("opened 5 times in 24h").waitFor();
    await bank.getByRole("img", { name: /States of 2 breakers over time/ }).waitFor();
    assert.equal(await page.locator("[data-provider]").first().getAttribute("data-provider"), "bank", "the worst is not first");
    await seen("providers");
  });
  await step("the history of one, and a shorter window", async () => {
    await page.getByRole("button", { name: "History of bank" }).click();
    await page.waitForURL(/provider=bank/);
    await page.getByRole("list", { name: "Changes" }).getByText("14 of 20 calls failed").first().waitFor();
    const wide = await page.locator("[data-provider=bank] rect").count();
    await page.getByLabel("looking back").selectOption("1h");
    await page.waitForURL(/window=1h/);
    await page.waitForFunction((n) => document.querySelectorAll("[data-provider=bank] rect").length < n, wide);
    await page.getByRole("link", { name: "3 dead letters wait for it" }).click();
    await page.waitForURL(/dead-letters\?.*reason=circuit_open/);
    await text("Dead letters");
  });
}
