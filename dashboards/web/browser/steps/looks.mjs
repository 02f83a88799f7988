const one = "/tasks/asynq%3Adefault%3Apay-twice";

export async function steps({ page, step, go, live, seen }) {
  const look = async (path, name) => {
    await go(path);
    await page.locator("h1").waitFor();
    await live();
    await page.waitForFunction(() => !document.querySelector("main")?.textContent?.includes("Loading…"));
    if (name.startsWith("task-attempts")) await page.locator("[data-bar]").first().waitFor();
    await seen(name);
  };
  await step("dark", async () => {
    await page.getByLabel("Light", { exact: true }).selectOption("dark");
    for (const [path, name] of [["/tasks", "active-dark"], ["/search?state=failed", "search-dark"], ["/dead-letters", "dead-letters-dark"], ["/errors", "errors-dark"], ["/alerts", "alerts-dark"], ["/providers?provider=bank", "providers-dark"], ["/health", "health-dark"], ["/settings", "settings-keys-dark"], ["/settings?tab=severity", "settings-severity-dark"], ["/settings?tab=audit", "settings-audit-dark"], ["/settings?tab=about", "settings-about-dark"], [one, "task-overview-dark"], [`${one}?tab=attempts`, "task-attempts-dark"], [`${one}?tab=payloads`, "task-payloads-dark"], [`${one}?tab=payment`, "task-payment-dark"]]) await look(path, name);
    await page.getByLabel("Light", { exact: true }).selectOption("light");
  });
  await step("400 px wide", async () => {
    await page.setViewportSize({ width: 400, height: 820 });
    for (const [path, name] of [["/tasks", "active-narrow"], ["/search", "search-narrow"], ["/dead-letters", "dead-letters-narrow"], ["/health", "health-narrow"], ["/errors", "errors-narrow"], ["/alerts", "alerts-narrow"], ["/alerts?tab=silences", "silences-narrow"], ["/alerts?tab=deliveries", "deliveries-narrow"], ["/alerts?tab=rules", "rules-narrow"], ["/settings?tab=channels", "settings-channels-narrow"], ["/providers?provider=bank", "providers-narrow"], ["/settings", "settings-keys-narrow"], ["/settings?tab=requeue", "settings-requeue-narrow"], ["/settings?tab=severity", "settings-severity-narrow"], ["/settings?tab=audit", "settings-audit-narrow"], ["/settings?tab=about", "settings-about-narrow"], ...["overview", "timeline", "attempts", "payloads", "payment"].map((t) => [`${one}?tab=${t}`, `task-${t}-narrow`])]) await look(path, name);
    await page.setViewportSize({ width: 1280, height: 820 });
  });
}
