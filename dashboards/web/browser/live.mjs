// Live updates: one stream a browser, quiet where nobody looks, and back by itself.
import assert from "node:assert/strict";
import { play } from "./stage.mjs";

await play("live", [], async (s, step) => {
  const { page, context } = s;
  const streams = async () => Number(/^\S*query_streams(?:_open)?(?:\{\})? (\d+)/m.exec(await (await context.request.get(`${s.base}/metrics`)).text())?.[1] ?? NaN);
  const eventually = async (what, f) => {
    const until = Date.now() + 15_000;
    let got;
    while (Date.now() < until) {
      if (await f().then((v) => { got = v; return v; })) return;
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
    assert.fail(`${what}: ${got}`);
  };
  const moved = (p, wait = true) => p.evaluate(async (waits) => {
    const bar = () => document.querySelector("[data-task='asynq:default:import-1'] progress")?.getAttribute("value");
    const before = bar();
    for (const until = Date.now() + (waits ? 10_000 : 2500); Date.now() < until; await new Promise(requestAnimationFrame)) if (bar() !== before) return true;
    return false;
  }, wait);
  let asked = [];
  const count = (p) => p.on("request", (r) => /\/api\/v1\/tasks\?/.test(r.url()) && asked.push(r.url()));
  await s.enter("/tasks");
  count(page);
  const second = await context.newPage();
  const third = await context.newPage();
  await step("seven tabs share one stream, though HTTP/1.1 has six connections", async () => {
    await s.live();
    const more = await Promise.all(Array.from({ length: 4 }, () => context.newPage()));
    for (const p of [second, third, ...more]) {
      if (p === second || p === third) count(p);
      await p.goto(s.base + "/tasks");
      await p.locator("[data-live=live]").waitFor();
    }
    await eventually("streams open", async () => (await streams()) === 1);
    assert.deepEqual(await Promise.all([page, second, third, ...more].map((p) => moved(p))), Array(7).fill(true));
    assert.equal(await streams(), 1);
    for (const p of more) await p.close();
  });
  await step("progress comes over the stream, not by asking", async () => {
    await moved(page);
    asked = [];
    for (let i = 0; i < 8; i++) assert(await moved(page), "progress stands still");
    assert(asked.length <= 6, `three tabs asked ${asked.length} times: ${asked}`);
  });
  const hide = (p, hidden) => p.evaluate((h) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => h });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await step("a hidden tab rests, and knows what happened when it is looked at", async () => {
    await hide(second, true);
    await second.locator("[data-live=paused]").waitFor();
    assert.equal(await moved(second, false), false, "a hidden tab moves");
    assert(await moved(page), "the others stand still with it");
    await hide(second, false);
    await second.locator("[data-live=live]").waitFor();
    assert(await moved(second));
  });
  await step("the tab that opened the stream may go", async () => {
    await third.close();
    await second.close();
    assert(await moved(page));
    assert.equal(await streams(), 1);
  });
  await step("a server that restarts: stale is said, and what was missed is read", async () => {
    await s.during(() => true, async () => {
      await s.stopServer();
      await page.locator("[data-live=stale]").waitFor();
      await s.text("What is shown may be old");
      await s.startServer();
      await s.live();
      assert(await moved(page));
    });
  });
  await step("nothing moves under an open question, nor is it lost", async () => {
    await page.getByRole("button", { name: "Cancel river:main:9001" }).click();
    await s.dialog().waitFor();
    assert.equal(await moved(page, false), false, "a row moved under the question");
    await page.keyboard.press("Escape");
    assert(await moved(page));
  });
});
