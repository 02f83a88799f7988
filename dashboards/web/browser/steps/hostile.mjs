// What comes from outside is shown as what it is: every text of every answer gets marks
// that turn text around, and tags.
import assert from "node:assert/strict";

const evil = "\u202e\u2066<img src=x onerror=alert(1)><script>alert(1)</script>";
// What people and programs name and write; ids, times and words of the API stay.
const free = new Set(["type", "task_type", "queue", "agent", "runner", "provider", "user_id", "message", "kind", "stack", "title", "text", "summary", "description", "name", "by", "actor", "reason", "payment_reference", "stop_proof", "not_replayable", "error", "condition", "detail", "target", "url", "stale", "why"]);
const words = new Set(["exhausted", "permanent", "circuit_open", "deadline", "poison", "backoff", "manual", "failure_rate", "probe", "probes_succeeded", "webhook", "pagerduty", "slack", "email"]);

function spoil(v, key, isEvent) {
  if (typeof v === "string") return free.has(key) && !words.has(v) && !(isEvent && key === "type") ? v + evil : v;
  if (Array.isArray(v)) return v.map((x) => spoil(x, key, isEvent));
  if (v && typeof v === "object") {
    const event = "event_id" in v || v.type === "gap";
    return Object.fromEntries(Object.entries(v).map(([k, x]) => (k === "metadata" || k === "labels" ? [k, { ...x, [`note${evil}`]: evil }] : [k, spoil(x, k, event)])));
  }
  return v;
}

const one = "/tasks/asynq%3Adefault%3Apay-01";
const pages = [
  ["/tasks", "[data-row]"], ["/search", "[data-row]"], ["/dead-letters?status=any", "[data-row]"], ["/errors?status=any", "[data-group]"], ["/alerts?state=any", "[data-alert]"], ["/alerts?tab=silences", "h1"], ["/alerts?tab=deliveries", "[data-row], li"],
  ["/providers?provider=bank", "[data-provider]"], ["/health", "table"], ["/settings", "[data-key], li"], ["/settings?tab=channels", "h1"], ["/settings?tab=about", "h1"],
  ...["overview", "timeline", "attempts", "payloads", "payment"].map((tab) => [`${one}?tab=${tab}`, "h1"]),
];

export async function steps({ page, context, step, during, go, saved, dialog }) {
  const spoiled = async (route) => {
    const answer = await route.fetch().catch(() => undefined);
    if (!answer) return route.abort();
    const text = await answer.text();
    try {
      await route.fulfill({ response: answer, body: JSON.stringify(spoil(JSON.parse(text))) });
    } catch {
      await route.fulfill({ response: answer, body: text });
    }
  };
  const turning = /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/;
  // Marks may stand in what keeps them to itself: a code block's lines, an attribute.
  const raw = () => page.evaluate((source) => {
    const bad = new RegExp(source);
    const out = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let n = walk.nextNode(); n; n = walk.nextNode()) if (bad.test(n.data) && !n.parentElement.closest("pre, script, datalist")) out.push(`${n.parentElement.tagName} ${n.parentElement.className}: ${n.data.slice(0, 120)}`);
    return out;
  }, turning.source);

  await step("names with marks and tags are shown as what they are on every page", async () => {
    await context.route(/\/api\/v1\/(?!stream|session)/, (r) => (r.request().method() === "GET" ? spoiled(r) : r.fallback()));
    await during((m) => m.includes("400") || m.includes("404"), async () => {
      for (const [path, sign] of pages) {
        await go(path);
        await page.locator("h1").waitFor();
        await page.locator(sign).first().waitFor();
        await page.waitForFunction(() => !document.querySelector("main")?.textContent?.includes("Loading…"));
        assert.deepEqual(await raw(), [], `${path}: marks that turn text around`);
        assert.equal(await page.locator("img, main script, [onerror]").count(), 0, `${path}: a tag of the data became an element`);
        assert(!turning.test(await page.title()), `${path}: the title`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(wide <= 0, `${path} is ${wide} px wider than the window`);
      }
    });
  });
  await step("so they are in questions, in what is said after them, and in files", async () => {
    await go("/dead-letters");
    await page.getByRole("button", { name: "Discard asynq:default:mail-77" }).click();
    await dialog().waitFor();
    assert.deepEqual(await raw(), []);
    await page.keyboard.press("Escape");
    await go("/search?text=mail-77");
    await page.locator("[data-row]").first().waitFor();
    const csv = await saved(() => page.getByRole("button", { name: "CSV" }).click());
    assert(csv.includes("<script>alert(1)</script>"), "the file has it as it is");
    await context.unroute(/\/api\/v1\/(?!stream|session)/);
  });
  await step("a file hands no spreadsheet a formula", async () => {
    await context.route("**/api/v1/tasks?*", async (r) => {
      const answer = await r.fetch();
      const body = await answer.json();
      body.data = body.data.map((t, i) => ({ ...t, type: ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"][i % 7] }));
      await r.fulfill({ response: answer, json: body });
    });
    await go("/search");
    await page.locator("[data-row]").first().waitFor();
    const csv = await saved(() => page.getByRole("button", { name: "CSV" }).click());
    for (const formula of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"]) assert(csv.includes(`'${formula}`), `${JSON.stringify(formula)} stands as a formula`);
    await context.unroute("**/api/v1/tasks?*");
  });
}
