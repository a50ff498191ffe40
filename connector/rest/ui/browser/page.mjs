// What the tests share: the page over the fixture's group of workers, in Chromium.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// shots is where pictures of the page go, for people to look at; "" for none.
const shots = process.env.UI_SHOTS ?? "";

export async function browse() {
  const profile = mkdtempSync(join(tmpdir(), "coupastream-ui-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    viewport: { width: 1400, height: 850 },
    timezoneId: "Europe/Berlin",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

// Group is the fixture's process. It can be ended and started again at its address.
export class Group {
  constructor(connectors, objects) {
    this.args = ["-connectors", String(connectors), "-objects", String(objects)];
  }

  async start() {
    const listen = this.url ? ["-listen", new URL(this.url).host] : [];
    this.process = spawn(process.env.UI_FIXTURE, [...this.args, ...listen], { stdio: ["ignore", "pipe", "inherit"] });
    this.url = String(await new Promise((told, failed) => {
      this.process.stdout.once("data", told);
      this.process.once("exit", (code) => failed(new Error(`the fixture ended with ${code}`)));
    })).trim();
  }

  async end() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = new Promise((done) => this.process.once("close", done));
    this.process.kill("SIGKILL");
    await gone;
  }

  // order has something happen to the group; the fields are those of the fixture's order.
  async order(what) {
    const answer = await fetch(new URL("/fixture", this.url), { method: "POST", body: JSON.stringify(what) });
    assert.equal(answer.status, 204, await answer.text());
  }
}

// Program is the built program. Its output is kept, to be shown when it ends before its time.
export class Program {
  output = "";
  #told = () => {};

  constructor(args, env = {}) {
    this.process = spawn(process.env.UI_PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (d) => {
        this.output += d;
        this.#told();
      });
    }
    this.process.once("exit", () => this.#told());
  }

  get ended() {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  // printed waits until the output has what the expression looks for, and gives its first group.
  printed(expression) {
    return new Promise((done, failed) => {
      this.#told = () => {
        const found = expression.exec(this.output);
        if (found) done(found[1]);
        else if (this.ended) failed(new Error(`the program ended with ${this.process.exitCode ?? this.process.signalCode}: ${this.output}`));
      };
      this.#told();
    });
  }

  async end(signal = "SIGINT") {
    if (this.ended) return;
    const gone = new Promise((done) => this.process.once("close", done));
    this.process.kill(signal);
    await gone;
  }
}

// dev starts coupastream dev, with a Kafka, a registry and a Coupa of its own.
export function dev(...args) {
  return new Program(["dev", "--quiet", "--rows", "50", "--kafka-port", "0", "--coupa-port", "0", "--registry-port", "0", "--rest-port", "0", ...args]);
}

// open opens the page. What it reports as wrong, or asks of another host, is kept in page.faults.
export async function open(context, url, hash = "#/") {
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (e) => page.faults.push(String(e)));
  page.on("console", (m) => m.type() === "error" && page.faults.push(m.text()));
  page.on("request", (r) => new URL(r.url()).host !== new URL(url).host && page.faults.push(`asks ${r.url()}`));
  await page.goto(url + hash);
  await page.getByText("Live", { exact: true }).waitFor();
  return page;
}

// redrawn waits until time or an event has changed what is shown.
export async function redrawn(page) {
  await page.evaluate(() => new Promise((done) => {
    const seen = new MutationObserver(() => {
      seen.disconnect();
      done();
    });
    seen.observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true });
  }));
}

// shot takes a picture.
export async function shot(page, name, options = {}) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), ...options });
}

// accessible runs axe over what is shown, by the rules of WCAG 2.2 A and AA and its own best practices.
export async function accessible(page, what) {
  await page.evaluate(axe); // by the debugger: the page's policy lets no script in
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map((v) => `${v.id} (${v.impact}): ${v.help}\n  ${v.nodes.map((n) => `${n.html}\n  ${n.failureSummary}`).join("\n  ")}`);
  assert.deepEqual(told, [], `${what} is not accessible:\n${told.join("\n")}`);
}
