import assert from "node:assert/strict";

export async function steps({ page, step, during, go, seen, signIn }) {
  await during((m) => m.includes("401"), async () => {
    await step("without a session the login is shown, a wrong token is refused", async () => {
      await go("/health");
      await page.waitForURL(/\/login\?next=/);
      await signIn("wrong");
      await page.getByRole("alert").waitFor();
      await seen("login");
    });
    await step("login leads to where one wanted to go", async () => {
      await signIn("admin");
      await page.waitForURL(/\/health/);
      assert.equal(await page.evaluate(() => document.cookie), "", "a script can read the cookie");
    });
  });
}
