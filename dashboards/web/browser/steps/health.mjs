import assert from "node:assert/strict";

export async function steps({ page, step, go, text, seen, during }) {
  const chart = (name) => page.locator(`[data-chart="${name}"]`);
  await step("health: the past is there when the page is opened, by step and by type", async () => {
    await go("/health");
    await text("Circuit breakers");
    await text("mean");
    for (const name of ["Throughput", "Failure rate", "Execution time of attempts", "New dead letters"]) await chart(name).locator("canvas").waitFor();
    await page.locator("[data-type=payment]").getByText(/ %$/).waitFor();
    await page.getByRole("list", { name: "Their history" }).getByText(/^opened/).first().waitFor();
    await seen("health");
  });
  await step("health: one moment is told in words, by pointer and by key, in all charts", async () => {
    const axis = chart("Throughput").getByRole("slider");
    const told = () => axis.getAttribute("aria-valuetext");
    assert.match(await told(), /^\d\d:\d\d: completed [\d.]+\/min, failed [\d.]+\/min, cancelled or lost 0\/min$/);
    await chart("Throughput").locator(".u-over").hover({ position: { x: 40, y: 30 } });
    await chart("Throughput").getByText(/^last/).waitFor({ state: "detached" });
    const there = (await told()).slice(0, 5);
    await page.waitForFunction((t) => document.querySelector('[data-chart="Failure rate"] [role=slider]').getAttribute("aria-valuetext").startsWith(t), there);
    await page.mouse.move(0, 0);
    await axis.focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await chart("Throughput").getByText(/^last/).waitFor({ state: "detached" });
  });
  await step("health: a type has its own charts, and the address says so", async () => {
    const before = await chart("Execution time of attempts").locator("figcaption").innerText();
    await page.locator("[data-type=import_orders]").getByRole("button").click();
    await page.waitForURL(/type=import_orders/);
    await page.waitForFunction((t) => document.querySelector('[data-chart="Execution time of attempts"] figcaption').innerText !== t, before);
    await page.getByRole("combobox", { name: /^type/ }).selectOption("");
    await page.getByRole("combobox", { name: /looking back/ }).selectOption("7d");
    await page.waitForURL((u) => u.search === "?window=7d");
    await page.locator("[data-type=payment]").waitFor();
  });
  await step("health: without its past the rest is there, and says what is missing", async () => {
    await page.route("**/monitoring/history**", (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "Unavailable", status: 503, code: "unavailable", detail: "the store is away" }) }));
    await during((m) => m.includes("503"), async () => {
      await go("/health?window=6h");
      await text("Queue depth");
      await page.getByRole("alert").getByText("the store is away").waitFor();
      await page.unroute("**/monitoring/history**");
      await page.getByRole("button", { name: "Try again" }).click();
      await chart("Throughput").locator("canvas").waitFor();
    });
  });
}
