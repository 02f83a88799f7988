// What operators set for alerting: channels, and rules with their trial.
import assert from "node:assert/strict";

export async function steps({ page, step, during, go, text, seen, check, dialog, api }) {
  const closed = () => dialog().waitFor({ state: "detached" });
  const one = page.getByRole("list", { name: "Channels" }).getByRole("listitem").filter({ hasText: "night shift" });
  await step("channels: the configuration's are shown and not changed", async () => {
    await go("/settings?tab=channels");
    const theirs = page.getByRole("list", { name: "Channels" }).getByRole("listitem").filter({ hasText: "oncall" });
    await theirs.getByText("it is changed there").waitFor();
    assert.equal(await theirs.getByRole("button", { name: /^(Change|Remove)/ }).count(), 0);
  });
  await step("a channel is refused, and the field says why", async () => {
    await page.getByRole("button", { name: "New channel" }).click();
    await dialog("New channel").waitFor();
    await page.getByLabel("Name", { exact: true }).fill("night shift");
    const setUp = dialog().getByRole("button", { name: "Set up" });
    assert.equal(await setUp.isDisabled(), true, "a channel that leads nowhere");
    const url = page.getByLabel("URL", { exact: true });
    await url.fill("http://hooks.example.com/t0ken");
    await seen("channel-form");
    await during((m) => m.includes("400"), async () => {
      await setUp.click();
      await dialog().getByRole("alert").waitFor();
    });
    assert.equal(await url.getAttribute("aria-invalid"), "true");
    assert.equal(await dialog().getByRole("alert").count(), 1, "said at the field alone");
    await check("a channel that is refused");
    // A name that the configuration has.
    await during((m) => m.includes("409"), async () => {
      await url.fill("https://hooks.example.com/t0ken");
      await page.getByLabel("Name", { exact: true }).fill("oncall");
      await setUp.click();
      await dialog().getByText(/change it there, or take another name/).waitFor();
    });
    assert.equal(await page.getByLabel("Name", { exact: true }).getAttribute("aria-invalid"), "true");
  });
  await step("a channel is set up, and its secret shown once", async () => {
    await page.getByLabel("Name", { exact: true }).fill("night shift");
    await page.getByLabel("From which severity on").selectOption("critical");
    await dialog().getByRole("button", { name: "Set up" }).click();
    await dialog("The secret of night shift").waitFor();
    const secret = await page.locator("[data-secret]").innerText();
    assert.match(secret, /^whsec_/);
    await check("a channel's secret");
    await page.getByRole("button", { name: "I have stored it" }).click();
    await closed();
    await one.getByText("from critical up").waitFor();
    await one.getByText("set by").waitFor();
    const told = JSON.stringify(await api("/channels"));
    assert.ok(!told.includes("t0ken") && !told.includes(secret), "what is secret is told again");
    assert.equal(await page.evaluate((s) => document.documentElement.innerHTML.includes(s), secret), false, "the secret is kept");
  });
  await step("a name that is taken changes nothing", async () => {
    await page.getByRole("button", { name: "New channel" }).click();
    await page.getByLabel("Name", { exact: true }).fill("night shift");
    await page.getByLabel("URL", { exact: true }).fill("https://hooks.example.com/other");
    await text("A channel has this name");
    assert.equal(await dialog().getByRole("button", { name: "Set up" }).isDisabled(), true);
    await page.keyboard.press("Escape");
    await closed();
  });
  await step("a channel is changed, with a new secret, and removed", async () => {
    await one.getByRole("button", { name: "Change night shift" }).click();
    await page.getByLabel("From which severity on").selectOption("high");
    await dialog().getByRole("checkbox", { name: /new secret/ }).check();
    await check("the form of a channel that is changed");
    await dialog().getByRole("button", { name: "Change", exact: true }).click();
    await page.locator("[data-secret]").waitFor();
    await page.getByRole("button", { name: "I have stored it" }).click();
    await closed();
    await one.getByText("from high up").waitFor();
    await one.getByRole("button", { name: "Remove night shift" }).click();
    await check("the question before a channel is removed");
    await dialog().getByRole("button", { name: "Remove" }).click();
    await text("Removed: night shift");
    await one.waitFor({ state: "detached" });
    assert.ok(!(await api("/channels")).data.some((c) => c.name === "night shift"));
  });
  await step("rules: those in force, who set them, and when one would have fired", async () => {
    const rule = (method, body) => page.evaluate(async ([m, b]) => (await fetch("/api/v1/rules/nothing%20works", { method: m, body: b, headers: b ? { "Content-Type": "application/json" } : {} })).status, [method, body]);
    assert.equal(await rule("PUT", '{"kind":"consecutive_failures","failures":5}'), 201);
    await go("/alerts");
    await page.getByRole("tab", { name: "Rules" }).click();
    await page.waitForURL(/tab=rules/);
    const rules = page.getByRole("list", { name: "Rules" });
    await rules.getByRole("listitem").filter({ hasText: "nothing works" }).getByText("set over the API by").waitFor();
    await rules.getByRole("listitem").filter({ hasText: "workers die" }).getByText("from the alerting file").waitFor();
    await seen("rules");
    await page.getByRole("button", { name: "Try on the past: payments are failing" }).click();
    await dialog("Try payments are failing on the past").waitFor();
    await page.getByLabel("Over", { exact: true }).selectOption("24h");
    await dialog().getByRole("button", { name: "Try", exact: true }).click();
    await text("It would have fired once.");
    await dialog().getByRole("list", { name: "Firings" }).getByText("3 of 4 runs failed").waitFor();
    await seen("rule-trial");
    await page.keyboard.press("Escape");
    await closed();
    assert.equal(await rule("DELETE"), 204);
  });
}
