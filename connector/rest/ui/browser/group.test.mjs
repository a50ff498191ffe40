// The page over two workers of one group: either one's page shows what both do, and acts on it, whichever of them runs the connector.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { browse, dev, open, Program, shot } from "./page.mjs";

const patience = { timeout: 60_000 };
const names = ["one", "two", "three", "four", "five", "six"]; // enough for both workers

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

describe("the status pages of a group of two workers", () => {
  const dir = mkdtempSync(join(tmpdir(), "coupastream-group-"));
  const workers = [];
  let browser, parts;
  before(async () => {
    parts = dev();
    const kafka = await parts.printed(/^Kafka +(\S+)/m);
    const registry = await parts.printed(/^Schema Registry +(\S+)/m);
    const coupa = await parts.printed(/^Coupa +(\S+)/m);
    for (const i of [0, 1]) {
      const host = `127.0.0.1:${await freePort()}`;
      const file = join(dir, `worker-${i}.json`);
      writeFileSync(file, JSON.stringify({
        "bootstrap.servers": kafka, "schema.registry.url": registry, "group.id": "pair", "state.dir": join(dir, `state-${i}`), listeners: `http://${host}`,
        "session.timeout.ms": "6000", "heartbeat.interval.ms": "500",
      }));
      const program = new Program(["run", file], { COUPA_CLIENT_SECRET: "dev" });
      workers.push({ host, url: `http://${host}/`, program });
    }
    for (const w of workers) await answered(w, "health", (status) => status === 200);
    for (const [i, name] of names.entries()) {
      const config = {
        "connector.class": "CoupaSource", tenant: name, "coupa.url": coupa, "coupa.client.id": "dev", "coupa.client.secret": "${env:COUPA_CLIENT_SECRET}",
        "coupa.objects": "suppliers", "topic.template": "${tenant}.${object}", "poll.interval.ms": "1000",
      };
      const answer = await fetch(`${workers[i % 2].url}connectors/${name}/config`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(config) });
      assert.equal(answer.status, 201, await answer.text());
    }
    browser = await browse();
  });
  after(async () => {
    await browser?.close();
    for (const { program } of workers) await program.end();
    await parts?.end();
    rmSync(dir, { recursive: true, force: true });
  });

  // answered waits until the worker's answer is as it should be, and gives its body.
  async function answered(worker, path, right) {
    for (const end = Date.now() + patience.timeout; ; await new Promise((done) => setTimeout(done, 200))) {
      const answer = await fetch(worker.url + path).catch(() => null);
      const body = await answer?.json().catch(() => null);
      if (right(answer?.status, body)) return body;
      if (Date.now() > end || worker.program.ended) throw new Error(`${path} of ${worker.host}: ${answer?.status} ${JSON.stringify(body)}\n${worker.program.output}`);
    }
  }

  // runner is who runs a connector, for all that the worker knows.
  const runner = async (worker, name) => (await answered(worker, `connectors/${name}/health`, (_, health) => health?.worker_id)).worker_id;

  // proven waits until the page shows how fresh the connector's suppliers are, by the age that only the worker that runs it knows.
  const proven = (page, name) => page.waitForFunction((n) => /\d s/.test(document.querySelector(`tr[data-key="${n}"] td[data-key="suppliers"]`)?.textContent), name, patience);

  test("show and change what the other one runs, and what it ran when it is gone", async () => {
    const [left, right] = workers;
    const pages = [await open(browser.context, left.url), await open(browser.context, right.url)];
    for (const page of pages) {
      for (const name of names) await proven(page, name);
      await page.getByText(/6 connectors, 6 objects/).waitFor(patience);
    }
    await shot(pages[0], "group-overview");
    const runners = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await runner(left, name)])));
    const theirs = names.filter((name) => runners[name] === right.host);
    assert.ok(theirs.length > 0 && theirs.length < names.length, `both run some: ${JSON.stringify(runners)}`);
    const [name] = theirs;

    const [page, other] = pages;
    await page.goto(`${left.url}ui/#/connectors/${name}/suppliers`);
    await page.getByText(`run by ${right.host}.`).waitFor(patience);
    await page.getByText(`${name}.suppliers-value`).first().waitFor(patience); // what only the worker that runs it knows
    await shot(page, "group-object", { fullPage: true });
    await page.getByRole("button", { name: "Snapshot…" }).click();
    await page.getByRole("dialog").getByLabel("ids", { exact: true }).fill("1, 2, 3");
    await page.getByRole("dialog").getByRole("button", { name: "Read again" }).click();
    await page.getByRole("row").getByText("DONE").waitFor(patience);
    await page.getByRole("cell", { name: /^[1-3] .*rows?, ended at/ }).waitFor(patience); // a row that changes meanwhile goes out as changed
    await page.goto(`${left.url}ui/#/connectors/${name}`);
    await other.goto(`${right.url}ui/#/connectors/${name}`);
    for (const [button, state] of [["Pause", "paused"], ["Resume", "running"]]) {
      await page.getByRole("button", { name: button, exact: true }).click();
      await page.getByRole("dialog").getByRole("button", { name: button, exact: true }).click();
      for (const p of pages) await p.locator(`h1 .k-${state}`).waitFor(patience);
    }
    await other.close();

    assert.deepEqual(page.faults, []);
    await right.program.end("SIGKILL");
    await page.getByText(`run by ${left.host}`).waitFor(patience);
    await page.goto(`${left.url}ui/#/`);
    for (const n of names) {
      await proven(page, n);
      assert.equal(await runner(left, n), left.host);
    }
    const unasked = /^Failed to load resource: the server responded with a status of 50[03] /; // what only a worker knew that is gone, until another takes over
    assert.deepEqual(page.faults.filter((f) => !unasked.test(f)), []);
    await page.close();
  });
});
