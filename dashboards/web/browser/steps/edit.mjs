import assert from "node:assert/strict";

export async function steps({ page, context, step, during, go, task, text, seen, check, dialog }) {
  const became = () => page.getByRole("region", { name: "What became of it" });
  const area = () => dialog("Edit the input and retry").getByRole("textbox").first();
  const review = () => page.getByRole("button", { name: "See what changes" });
  await step("an edit that cannot be sent is refused where it stands", async () => {
    await task("asynq:default:pay-twice");
    await page.getByRole("button", { name: "Edit and retry…" }).click();
    await text("stands at card");
    const before = await area().inputValue();
    await text("Nothing is changed yet.");
    assert(await review().isDisabled());
    for (const [change, says] of [[(v) => v.replace('"n": 2', '"n": '), /not JSON from line 9/], [(v) => v.replace('"[redacted]"', '"x [redacted]"'), /card would become the text \[redacted\]/], [(v) => v.replace("4711", "null"), /order cannot be set to null/], [() => "[1]", /has to be an object/]]) {
      await area().fill(change(before));
      await text(says);
      assert(await review().isDisabled());
    }
    await check("an edit that is refused");
    await page.getByRole("button", { name: "Start over" }).click();
    assert.equal(await area().inputValue(), before);
    await area().fill(before.replace("4711", "4712").replace('"n": 2', '"n": 3'));
    await text("it can be sent");
    await seen("task-edit");
  });
  await step("what changes is shown before it is sent, and what is refused is said", async () => {
    await review().click();
    const diff = dialog().getByRole("region", { name: "What the edit changes" });
    await diff.getByText('"order": 4712').waitFor();
    assert.equal(await diff.getByText("put in").count(), 2);
    await page.getByLabel(/Reason/).fill("the order was entered twice");
    await seen("task-edit-diff");
    await during((m) => m.includes("409"), async () => {
      await context.route("**/retry*", (r) => r.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify({ type: "urn:tasktrail:problem:run_claimed", title: "Somebody else was quicker", status: 409, code: "run_claimed", request_id: "r-1" }) }));
      await page.getByRole("button", { name: "Retry with this input" }).click();
      await dialog().getByText("Somebody else was quicker").waitFor();
      await context.unroute("**/retry*");
    });
  });
  await step("it is sent as the smallest patch, and followed to its end", async () => {
    const [request] = await Promise.all([page.waitForRequest("**/retry*"), page.getByRole("button", { name: "Retry with this input" }).click()]);
    assert.deepEqual(request.postDataJSON(), { input_patch: { order: 4712, items: [{ sku: "A-1", n: 3 }] }, reason: "the order was entered twice" });
    await became().getByText("Edited and retried: run 3").waitFor();
    await became().getByText("Completed").waitFor();
    await page.getByRole("tab", { name: "Input/Output" }).click();
    const edit = page.getByRole("region", { name: "Edit for run 3", exact: true });
    await edit.getByText("by admin").waitFor();
    await edit.getByText("the order was entered twice").waitFor();
    await edit.getByText('"order": 4712').waitFor();
    const hashes = await edit.locator("[title]").evaluateAll((all) => all.map((e) => e.getAttribute("title")).filter((t) => /^[0-9a-f]{64}$/.test(t)));
    assert.equal(new Set(hashes).size, 2, "both hashes");
    await seen("task-edited");
    await page.getByRole("tab", { name: "Attempts" }).click();
    await page.locator("[data-bar='3.1']").waitFor();
    await page.getByRole("list", { name: "What operators did, and the breaker" }).getByText("retry with an edited input asked for").waitFor();
    await seen("task-attempts-runs");
  });
  await step("an input that was cut is edited by a patch", async () => {
    await task("asynq:default:long-input", "payloads");
    await text("this is the beginning of 5,242,880 bytes");
    await check("a cut input");
    await page.getByRole("button", { name: "Edit and retry…" }).click();
    await text("only the beginning of its 5,242,880 bytes is known");
    await area().fill('{"file": "orders-2.csv"}');
    await review().click();
    await page.getByRole("button", { name: "Retry with this input" }).click();
    await became().getByText("Completed").waitFor();
    await page.getByRole("region", { name: "Edit for run 2" }).getByText("Put onto the original").waitFor();
    await text("known to the agent alone: the original is sealed");
  });
  await step("a cancel that a handler does not look at, in plain words", async () => {
    await task("asynq:default:deaf-1");
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByLabel(/Reason/).fill("not wanted any more");
    await page.getByRole("button", { name: "Cancel task" }).click();
    await became().getByText("Not stopped").waitFor();
    const proof = page.getByRole("region", { name: "How the cancel goes" });
    await proof.getByText("its handler does not look at it").waitFor();
    assert.deepEqual(await proof.locator("[data-stop]").evaluateAll((all) => all.map((e) => e.dataset.stop)), ["done", "done", "not", "not"]);
    await seen("task-cancel-ignored");
    await page.getByRole("tab", { name: "Timeline" }).click();
    await text("its handler still runs: it does not look at its context");
    // The list says the same.
    await go("/tasks?q=deaf-1");
    await page.locator("[data-task='asynq:default:deaf-1']", { hasText: "not stopped: cancel asked for" }).getByText("it does not look at its context").waitFor();
    await check("a cancel that is ignored, in the list");
  });
  await step("a discard says what it did", async () => {
    await task("asynq:default:pay-04");
    await page.getByRole("button", { name: "Discard" }).click();
    await page.getByLabel(/Reason/).fill("paid by hand");
    await dialog().getByRole("button", { name: "Discard" }).click();
    await became().getByText("The dead letter has left the inbox").waitFor();
    await text("Its dead letter was discarded");
    assert.equal(await page.getByRole("button", { name: /retry/i }).count(), 0);
    await check("a discarded task");
  });
}
