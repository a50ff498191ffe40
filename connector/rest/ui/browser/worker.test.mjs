// The page over a real worker: coupastream dev, with its own REST API, Kafka and Coupa.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { accessible, browse, dev, open, shot } from "./page.mjs";

const patience = { timeout: 60_000 };

describe("the status page of a worker", () => {
  let browser, program, url;
  before(async () => {
    program = dev();
    url = `${await program.printed(/^REST +(http:\/\/[^/]+)/m)}/`;
    browser = await browse();
  });
  after(async () => {
    await browser?.close();
    await program?.end();
  });

  // The picture in README.md, deploy/status-page.png. Its plots are of a minute.
  test("is pictured", { skip: process.env.UI_SHOTS ? false : "UI_SHOTS names no folder" }, async () => {
    const page = await open(browser.context, url, "ui/#/connectors/dev");
    await page.waitForFunction(() => [...document.querySelectorAll("svg path")].some((p) => p.getAttribute("d").split("L").length > 20), null, { timeout: 180_000 });
    await shot(page, "status-page", { fullPage: true, clip: { x: 0, y: 0, width: 1180, height: 880 } });
    await page.close();
  });

  test("shows its objects, and does to them what it is asked for", async () => {
    const page = await open(browser.context, url, ""); // a browser that opens / is sent to the page
    assert.equal(page.url(), `${url}ui/`);
    await page.getByRole("link", { name: "dev", exact: true }).waitFor(patience);
    await page.waitForFunction(() => /\d s/.test(document.querySelector('td[data-key="invoices"]')?.textContent), null, patience); // something is proven
    assert.match(await page.locator(".totals").textContent(), /1 connector, 7 objects/);
    await shot(page, "worker-overview");
    await page.locator('td[data-key="invoices"] a').click();
    await page.getByRole("heading", { level: 1, name: "invoices of dev" }).waitFor();
    await page.getByText("coupa.invoices-value").first().waitFor(patience);
    await page.getByText("[hidden]", { exact: true }).waitFor();
    assert.doesNotMatch(await page.locator("main").innerText(), /undefined|NaN|null/);
    await shot(page, "worker-object", { fullPage: true });
    await accessible(page, "an object of a worker");
    await page.getByRole("button", { name: "Restart" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restart" }).click();
    await page.getByRole("status").getByText("invoices of dev is asked to restart.").waitFor(patience);

    await page.goto(`${url}ui/#/connectors/dev`);
    for (const [button, state] of [["Pause", "paused"], ["Resume", "running"], ["Stop", "stopped"], ["Resume", "running"]]) {
      await page.getByRole("button", { name: button, exact: true }).click();
      await page.getByRole("dialog").getByRole("button", { name: button, exact: true }).click();
      await page.locator(`h1 .k-${state}`).waitFor(patience);
    }
    await page.locator("tr[data-key=invoices] .k-stopped").waitFor({ state: "detached", ...patience });
    assert.deepEqual(page.faults, []);
    await page.close();
  });
});
