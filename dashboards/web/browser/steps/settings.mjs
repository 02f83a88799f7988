import assert from "node:assert/strict";

export async function steps(t) {
  const { page, step, during, go, text, seen, check, dialog, api } = t;
  await step("keys: made, its token shown once", async () => {
    await go("/settings");
    await page.getByRole("list", { name: "API keys" }).getByText("worker fleet").waitFor();
    assert.equal(await page.getByText("old ci").count(), 0, "a revoked key stands among those in use");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("What it is for").fill("nightly export");
    const make = dialog().getByRole("button", { name: "Make the key" });
    assert.equal(await make.isDisabled(), true, "a key without a scope");
    await dialog().getByRole("checkbox", { name: /read:all/ }).check();
    await check("the form of a key");
    await make.click();
    const token = await page.locator("[data-secret]").innerText();
    assert.match(token, /^tt_/);
    await text("It is shown this once");
    await check("a key's token");
    await page.getByRole("button", { name: "I have stored it" }).click();
    // A closed dialog has no role any more, and stands in the page until the next render.
    await page.locator("[data-secret]").waitFor({ state: "detached" });
    await page.getByRole("list", { name: "API keys" }).getByText("nightly export").waitFor();
    assert.equal(await page.evaluate((s) => document.documentElement.innerHTML.includes(s) || Object.values(localStorage).join().includes(s) || Object.values(sessionStorage).join().includes(s), token), false, "the token is kept");
    await seen("settings-keys");
  });
  await step("a key is refused by the server, and the form says why", async () => {
    await during((m) => m.includes("400"), async () => {
      await page.getByRole("button", { name: "New key" }).click();
      await page.getByLabel("What it is for").fill("sees nothing");
      await dialog().getByRole("checkbox", { name: /^read see one user/ }).check();
      await dialog().getByRole("button", { name: "Make the key" }).click();
      await dialog().getByRole("alert").waitFor();
      await page.keyboard.press("Escape");
      await dialog().waitFor({ state: "detached" });
    });
  });
  await step("a key is revoked", async () => {
    await page.getByRole("button", { name: "Revoke nightly export" }).click();
    await dialog().getByRole("button", { name: "Revoke for ever" }).click();
    await text("Revoked: nightly export");
    await page.getByRole("list", { name: "API keys" }).getByText("nightly export").waitFor({ state: "detached" });
    await page.getByRole("checkbox", { name: /revoked and expired/ }).check();
    await page.waitForURL(/keys=all/);
    await page.getByRole("list", { name: "API keys" }).getByText("nightly export").waitFor();
    assert((await api("/keys")).data.find((k) => k.name === "nightly export").revoked_at);
  });
  await step("channels", async () => {
    await page.getByRole("tab", { name: "Channels" }).click();
    await page.getByRole("button", { name: "Test shop-webhook" }).click();
    await text("Test of shop-webhook:");
    await seen("settings-channels");
  });
  await step("re-enqueue URLs: registered, changed, removed", async () => {
    await page.getByRole("tab", { name: "Re-enqueue URLs" }).click();
    await text("No queue has one");
    await page.getByRole("button", { name: "New URL" }).click();
    await page.getByLabel("Queue", { exact: true }).fill("orders");
    await page.getByLabel("URL", { exact: true }).fill("https://shop.example.com/requeue");
    await check("the form of a re-enqueue URL");
    await dialog().getByRole("button", { name: "Register" }).click();
    const first = await page.locator("[data-secret]").innerText();
    assert.match(first, /^whsec_/);
    await page.getByRole("button", { name: "I have stored it" }).click();
    await page.getByRole("button", { name: "Change orders" }).click();
    await dialog().getByRole("checkbox", { name: /new secret/ }).check();
    await dialog().getByRole("button", { name: "Change" }).click();
    const second = await page.locator("[data-secret]").innerText();
    assert.notEqual(second, first);
    await page.getByRole("button", { name: "I have stored it" }).click();
    await text("signed with the former secret too until");
    await seen("settings-requeue");
    await page.getByRole("button", { name: "Remove orders" }).click();
    await dialog().getByRole("button", { name: "Remove" }).click();
    await text("No queue has one");
    assert.deepEqual((await api("/requeue-urls")).data, []);
  });
  await step("about: the pipeline and who one is", async () => {
    await page.getByRole("tab", { name: "About" }).click();
    await text("From accepted to readable");
    await page.getByRole("list", { name: "Parts" }).getByText("store").waitFor();
    await page.locator("[data-version]", { hasText: "development" }).waitFor();
    await seen("settings-about");
  });
  await step("severity: the thresholds in force and their exceptions", async () => {
    await go("/settings?tab=severity");
    await page.getByText("invoice_*").waitFor();
    assert.equal(await page.getByRole("region", { name: "How loudly a failure calls" }).locator("dl > div", { hasText: "USD" }).innerText().then((t) => t.replace(/\s+/g, " ")), "USD 100");
    await seen("settings-severity");
  });
  await step("the audit trail: who changed what, what was refused, filtered and paged", async () => {
    const trail = page.getByRole("list", { name: "Audit trail" }), rows = page.locator("[data-audit]");
    await during((m) => m.includes("404"), () => page.evaluate(() => fetch("/api/v1/tasks/no%20such%20task/cancel", { method: "POST", headers: { "Idempotency-Key": crypto.randomUUID(), "Content-Type": "application/json" }, body: '{"reason":"the test asks"}' })));
    await go("/settings?tab=audit");
    await trail.getByText("made a key").first().waitFor();
    await seen("settings-audit");
    await page.getByLabel("came to", { exact: true }).selectOption("not_found");
    await page.waitForURL(/result=not_found/);
    await trail.getByText("no such task").first().waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll("[data-audit]")].every((r) => r.textContent.includes("not found")));
    await page.getByLabel("to what", { exact: true }).fill("no such task");
    await page.waitForURL(/target=no/);
    await page.waitForFunction(() => document.querySelectorAll("[data-audit]").length === 1);
    const saved = await t.saved(() => page.getByRole("button", { name: "CSV" }).click());
    assert.match(saved, /^at,actor,/);
    assert.match(saved, /no such task,not_found,404/);
    await page.getByLabel("who", { exact: true }).fill("nobody");
    await text("No record fits the filter");
    await page.getByRole("button", { name: "Clear the filter" }).click();
    await rows.nth(1).waitFor();
    // Pages of three.
    await page.route("**/api/v1/audit?*", (r) => r.continue({ url: r.request().url().replace("limit=50", "limit=3") }));
    await go("/settings?tab=audit");
    await rows.nth(2).waitFor();
    const ids = () => rows.evaluateAll((all) => all.map((e) => e.dataset.audit));
    const first = await ids();
    await page.getByRole("button", { name: "Older" }).click();
    await page.waitForFunction((a) => document.querySelector("[data-audit]")?.dataset.audit !== a, first[0]);
    assert.equal((await ids()).some((id) => first.includes(id)), false, "a record stands on two pages");
    await page.unroute("**/api/v1/audit?*");
  });
}
