export async function steps({ page, step, go, text, seen }) {
  await step("health", async () => {
    await go("/health");
    await text("Circuit breakers");
    await text("mean");
    await page.locator("canvas").first().waitFor();
    await seen("health");
  });
}
