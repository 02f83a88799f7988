import assert from "node:assert/strict";

export async function steps({ page, step, go, live, text, seen, check, shot, task, dialog, api }) {
  const bar = "[data-task='asynq:default:import-1'] progress";
  // Rows stand one below the other, also after some came and went.
  const apart = () => page.waitForFunction(() => {
    const r = [...document.querySelectorAll("[data-task]")].map((e) => e.getBoundingClientRect()).sort((a, b) => a.top - b.top);
    return r.every((b, i) => i === 0 || Math.abs(b.top - r[i - 1].bottom) < 1.5);
  });
  await step("active tasks move without a reload", async () => {
    await go("/tasks");
    await live();
    const before = await page.locator(bar).getAttribute("value");
    await page.waitForFunction(([s, b]) => document.querySelector(s)?.getAttribute("value") !== b, [bar, before]);
    await page.locator("[data-task^='asynq:default:mail-1']").first().waitFor();
    await text("backoff: base 1.0 s");
    await apart();
    await seen("active");
  });
  await step("a task completes before one's eyes", async () => {
    await page.locator("[data-task^='asynq:default:mail-1']", { hasText: "completed" }).first().waitFor();
    await apart();
  });
  await step("nothing moves under an open question", async () => {
    await page.getByRole("button", { name: "Cancel river:main:9001" }).click();
    await dialog().waitFor();
    await check("the question");
    const done = async () => (await api("/tasks/asynq%3Adefault%3Aimport-1")).progress?.done;
    const shown = () => page.locator(bar).getAttribute("value");
    // What was asked for before the question was opened may still have come: from
    // here on the task moves on, and the page does not.
    const first = await done();
    while ((await done()) === first);
    const still = await shown();
    const from = await done();
    for (let now = from; Math.abs(now - from) < 6; now = await done());
    assert.equal(await shown(), still);
    await shot("cancel");
  });
  await step("cancel, with the proof of the stop", async () => {
    await page.getByLabel(/Reason/).fill("not needed today");
    await page.getByRole("button", { name: "Cancel task" }).click();
    await text("Cancel asked for: river:main:9001");
    await page.locator("[data-task='river:main:9001']", { hasText: "cancelled" }).waitFor();
    await task("river:main:9001", "timeline");
    await text("its handler returned");
    await text("not needed today");
  });
}
