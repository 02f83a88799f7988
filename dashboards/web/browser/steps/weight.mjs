// What the first page takes over the network, which is the same each time.
import assert from "node:assert/strict";

const limit = 250_000; // bytes of compressed script

export async function steps({ page, context, step, go, live }) {
  await step("the first load is light, and asks nobody else", async () => {
    const cdp = await context.newCDPSession(page);
    await cdp.send("Network.enable");
    await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
    const got = new Map();
    cdp.on("Network.responseReceived", (e) => got.set(e.requestId, { url: e.response.url, type: e.type, encoding: e.response.headers["Content-Encoding"] ?? e.response.headers["content-encoding"], bytes: 0 }));
    cdp.on("Network.loadingFinished", (e) => { const r = got.get(e.requestId); if (r) r.bytes = e.encodedDataLength; });
    await go("/tasks");
    await page.locator("[data-row]").first().waitFor();
    await live();
    await page.waitForLoadState("load");
    const origin = new URL(page.url()).origin;
    const all = [...got.values()];
    assert.deepEqual(all.filter((r) => !r.url.startsWith(origin)).map((r) => r.url), [], "something is loaded from elsewhere");
    const scripts = all.filter((r) => r.type === "Script");
    const bytes = scripts.reduce((n, r) => n + r.bytes, 0);
    const styles = all.filter((r) => r.type === "Stylesheet").reduce((n, r) => n + r.bytes, 0);
    assert(scripts.length > 0 && scripts.every((r) => r.bytes > 0), "a script's size is not known");
    assert.deepEqual(scripts.filter((r) => r.bytes > 2000 && !r.encoding).map((r) => r.url), [], "sent without compression");
    assert(bytes <= limit, `${bytes} bytes of script, the limit is ${limit}`);
    console.log(`      ${scripts.length} scripts, ${bytes} bytes as sent; styles ${styles} bytes`);
    await cdp.send("Network.setCacheDisabled", { cacheDisabled: false });
    await cdp.detach();
  });
}
