export async function steps({ page, step, during, go, live, text, check, stopServer, startServer }) {
  await step("a server that goes away is said, and come back to", async () => {
    await during(() => true, async () => {
      await go("/tasks");
      await live();
      await stopServer();
      await page.locator("[data-live=stale]").or(page.locator("[data-live=connecting]")).first().waitFor();
      await text("What is shown may be old");
      await check("a stale page");
      await startServer();
      await live();
      await page.locator("[data-task='river:main:9001']", { hasText: "in progress" }).waitFor();
    });
  });
}
