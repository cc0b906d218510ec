// The program under test, and a browser that looks at its console.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "../..");
const PROGRAMS = process.env.LEDGERFOLD_PROGRAMS ?? join(ROOT, "target/debug");
export const SCREENSHOTS = join(ROOT, "target/console");
/** The longest wait for what must come. The machine may be busy. */
export const PATIENCE_MS = 20000;

const program = (app) => join(PROGRAMS, app === "billing" ? "billing-under-test" : "ledgerfold");

/** Runs a command of the program and returns what it prints. */
export function run(...words) {
  const done = spawnSync(program("bookshop"), words, { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim();
}

/** A folder that is removed when all programs have ended. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "console-"));
  folders.push(path);
  return path;
}

const folders = [];
process.on("exit", () => folders.forEach((path) => rmSync(path, { recursive: true, force: true })));

/** A running `dev`. It is stopped at the end of the test, by its own process. */
export async function dev(t, { app = "bookshop", data = folder(), port = 0, options = [] } = {}) {
  const words = ["dev", "--port", String(port), "--data", join(data, "data"), ...options];
  const child = spawn(program(app), words, { stdio: ["ignore", "pipe", "pipe"] });
  let greeting = "";
  const ended = new Promise((end) => child.once("exit", end));
  const url = await new Promise((ready, fail) => {
    let errors = "";
    child.stderr.on("data", (text) => (errors = (errors + text).slice(-4000)));
    child.once("exit", () => fail(new Error(`dev ended: ${greeting}${errors}`)));
    child.stdout.on("data", (text) => {
      greeting += text;
      const found = /is ready at (http:\S+)[^]*Ctrl-C/.exec(greeting);
      if (found) ready(found[1]);
    });
  });
  const stop = async () => {
    child.kill("SIGINT");
    await ended;
  };
  t.after(stop);
  return { url, data, stop, get greeting() { return greeting; }, port: Number(new URL(url).port) };
}

let launched;

/** The browser of this test file. Node ends it with the last test. */
export async function browser() {
  launched ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  return launched;
}

export async function closeBrowser() {
  await launched?.close();
}

/** A page that collects the errors of its console. A failed request alone is no error of the page. */
export async function open(t, url, { width = 1440, height = 900, scheme = "light", timezone = "Europe/Berlin", before } = {}) {
  const context = await (await browser()).newContext({
    viewport: { width, height }, colorScheme: scheme, timezoneId: timezone, permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  page.on("console", (message) => {
    const isRequest = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !isRequest) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => {
    errors.push(`a script ran: ${dialog.message()}`);
    dialog.dismiss();
  });
  t.after(() => context.close());
  await before?.(page);
  await page.goto(url);
  return Object.assign(page, {
    /** Asserts that the page had no error so far. */
    isClean: () => assert.deepEqual(errors, []),
  });
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Asserts that axe finds nothing. It is run beside the page's policy, which forbids foreign scripts. */
export async function isAccessible(page, what) {
  const session = await page.context().newCDPSession(page);
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: `${AXE};axe.run().then((found) => found.violations.map(({ id, nodes }) => id + ": " + nodes.map((one) => one.html).join(" ").slice(0, 500)))`,
    awaitPromise: true, returnByValue: true,
  });
  assert.equal(exceptionDetails, undefined, exceptionDetails?.text);
  assert.deepEqual(result.value, [], what);
  await session.detach();
}

export async function screenshot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Sends a command of the app. */
export async function post(url, path, body, headers = {}) {
  const response = await fetch(url + path, {
    method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

export async function get(url, path, headers = {}) {
  return (await fetch(url + path, { headers })).json();
}

export const ORDER = { customer_id: "c-17", currency: "EUR", lines: [{ isbn: "9780306406157", quantity: 1, unit_price_minor: 1999 }] };

/** Waits until a condition holds, and returns its value. */
export async function eventually(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

/** Options and tokens of a `dev --auth`. */
export function issuer() {
  const tokens = join(folder(), "tokens");
  run("tokens", "create", "--dir", tokens);
  return {
    options: ["--auth", join(tokens, "jwks.json"), "--issuer", "ledgerfold-tokens", "--audience", "ledgerfold"],
    token: (...scopes) => run("tokens", "sign", "--dir", tokens, "--subject", "anna", ...scopes.flatMap((scope) => ["--scope", scope])),
  };
}
