export async function steps({ page, step, go, text, seen, check, dialog }) {
  await step("dead letters: groups, filters, retry and discard", async () => {
    await go("/dead-letters");
    await page.getByRole("heading", { name: /maintenance until 04:00/ }).waitFor();
    await seen("dead-letters");
    await page.getByRole("button", { name: "Discard river:main:4200" }).click();
    await dialog().getByRole("button", { name: "Discard" }).click();
    await text(/Discarded: river:main:4200/);
    await page.getByRole("link", { name: "river:main:4200" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Retry river:main:4201" }).click();
    await dialog().getByRole("button", { name: "Retry" }).click();
    await text(/Retry accepted, run 2: river:main:4201/);
    await page.getByLabel("severity").selectOption("medium");
    await page.waitForURL(/severity=medium/);
    await page.getByRole("heading", { name: /smtp: no answer/ }).waitFor();
  });
  await step("a name with marks and tags is shown as what it is", async () => {
    await page.getByRole("link", { name: /<script>alert\(1\)/ }).click();
    await page.getByRole("heading", { name: /evil:\\u202e<script>/ }).waitFor();
    await check("a hostile name");
  });
}
