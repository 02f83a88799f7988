export async function steps({ page, context, step, during, go, task, text }) {
  await step("a task that does not exist, and a server that fails", async () => {
    await during(() => true, async () => {
      await task("nobody");
      await page.getByRole("alert").waitFor();
      await context.route("**/api/v1/errors*", (r) => r.fulfill({ status: 500, body: "<html>garbage" }));
      await go("/errors");
      await text("The answer cannot be read");
      await context.unroute("**/api/v1/errors*");
      await page.getByRole("button", { name: "Try again" }).click();
      await text("no such account 7777");
    });
  });
  for (const [path, route, name] of [["/search", "tasks?*", "all tasks"], ["/alerts", "alerts?*", "alerts"], ["/providers", "providers?*", "providers"], ["/settings?tab=keys", "keys*", "keys"]]) {
    await step(`${name}: what fails is said, with a way on`, async () => {
      await during(() => true, async () => {
        const problem = { type: "urn:tasktrail:problem:unavailable", title: "A part is away", status: 503, code: "unavailable", request_id: "req-1", detail: "the store" };
        await context.route(`**/api/v1/${route}`, (r) => r.fulfill({ status: 503, headers: { "Retry-After": "7" }, contentType: "application/problem+json", body: JSON.stringify(problem) }));
        await go(path);
        await text("A part is away");
        await text("try again in 7 s");
        await context.unroute(`**/api/v1/${route}`);
        // Pages that ask again by themselves may be quicker than the button.
        const again = page.getByRole("button", { name: "Try again" });
        await again.click({ timeout: 1000 }).catch(() => undefined);
        await again.waitFor({ state: "detached" });
      });
    });
  }
}
