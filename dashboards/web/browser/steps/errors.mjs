export async function steps({ step, go, text, seen }) {
  await step("errors", async () => {
    await go("/errors");
    await text("no such account 7777");
    await seen("errors");
  });
}
