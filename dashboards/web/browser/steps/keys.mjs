import assert from "node:assert/strict";

export async function steps({ page, step, go, dialog, check }) {
  const press = async (...keys) => { for (const k of keys) await page.keyboard.press(k); };
  await step("the keyboard leads to every page", async () => {
    await go("/health");
    await page.locator("h1", { hasText: "Health" }).waitFor();
    for (const [key, path] of [["a", /\/alerts/], ["p", /\/providers/], ["s", /\/settings/], ["f", /\/search/], ["d", /\/dead-letters/], ["e", /\/errors/], ["h", /\/health/], ["t", /\/tasks/]]) {
      await press("g", key);
      await page.waitForURL(path);
    }
  });
  await step("j, ? and /", async () => {
    await page.locator("[data-row]").first().waitFor();
    await press("j");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-row")));
    await press("?");
    await dialog("Keys").waitFor();
    await dialog("Keys").getByText("select the dead letter, or not").waitFor();
    await check("the map of keys");
    await press("Escape");
    await press("/");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-search")));
  });
}
