// What stands still is shown, and buttons help.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, eventually, folder, get, isAccessible, open, ORDER, post, screenshot } from "./harness.mjs";

after(closeBrowser);

test("a broken read model has a badge, and resuming it after the repair removes it", async (t) => {
  const data = folder();
  const broken = await dev(t, { data, options: ["--break", "orders=OrderPlaced"] });
  const page = await open(t, `${broken.url}/console/`);
  await post(broken.url, "/orders", ORDER, { "Idempotency-Key": "one" });
  const orders = page.getByRole("region", { name: /^Consumers/ }).getByRole("row").filter({ hasText: "orders" });
  await orders.getByText("1 parked").waitFor({ timeout: 60000 });
  await page.locator("#announcer").filter({ hasText: "orders stands still" }).waitFor();
  await screenshot(page, "overview-parked");
  await orders.getByRole("link", { name: "1" }).click();
  const parked = page.getByRole("region", { name: "Parked streams of orders" });
  const stream = parked.getByRole("row").filter({ hasText: "order-" });
  await stream.waitFor();
  const cells = await stream.getByRole("cell").allInnerTexts();
  assert.equal(cells[0], "1");
  assert.match(cells[2], /./);
  await parked.getByRole("button", { name: /^Event of order-/ }).click();
  await parked.getByText("OrderPlaced, recorded").waitFor();
  await isAccessible(page, "parked");
  await screenshot(page, "parked-stream");

  // Resuming before the repair says that nothing changed.
  await page.getByRole("button", { name: "Resume all" }).click();
  await page.getByText(/1 stream still parked/).first().waitFor();

  // The repair: the program without the fault, at the same address.
  await broken.stop();
  await page.getByText("no connection, trying again").waitFor();
  await dev(t, { data, port: broken.port });
  await page.getByText("connected", { exact: false }).and(page.locator(".online")).waitFor();
  await page.getByRole("button", { name: /^Resume order-/ }).click();
  await page.getByText("1 stream caught up.").waitFor();
  await page.getByText("None.").first().waitFor();
  await page.goto(`${broken.url}/console/#/`);
  await orders.getByText("up to date").waitFor();
  page.isClean();
});

test("the bar of a job moves, with its rate and the time left", async (t) => {
  const { url } = await dev(t);
  const view = await get(url, "/projections/stock");
  const zero = { batches: 0, commits: 0, events: 0, streams: 0 };
  const job = (batches) => ({ number: 1, kind: "rebuild", pass: 0, paused: false, started_at: "2026-01-01T00:00:00Z", segments: 4, segments_done: 0,
    tally: { ...zero, batches }, items_expected: 4000, items_per_second: 25, seconds_left: (4000 - batches) / 25 });
  let batches = 1000;
  const page = await open(t, `${url}/console/#/projections/stock`, {
    before: (page) => page.route("**/projections/stock", (route) => route.fulfill({ json: { ...view, job: job(batches) } })),
  });
  await page.getByText("rebuild 25 %, 2 min 0 s left").waitFor();
  await page.getByText("pass 1 (backfill): 1,000 of about 4,000 items, 25 a second, 0 of 4 segments done").waitFor();
  batches = 3000;
  await page.getByText("rebuild 75 %, 40 s left").waitFor();
  assert.equal(await page.getByRole("progressbar").evaluate((bar) => bar.value), 0.75);
  await screenshot(page, "rebuild");
  page.isClean();
});

test("a rebuild shows its bar, and its steps lead on", async (t) => {
  const { url } = await dev(t, { options: ["--without-processes"] });
  for (let number = 0; number < 50; number++) await post(url, "/orders", ORDER, { "Idempotency-Key": `o-${number}` });
  const page = await open(t, `${url}/console/#/projections/orders`);
  const step = (name) => page.getByRole("listitem").getByRole("button", { name, exact: true });
  await page.getByText("There is no standby generation: rebuild first.").waitFor();
  // The answer to the step has the job, even if it ends before the next look at it.
  await page.evaluate(() => {
    new MutationObserver(() => { window.sawBar ||= document.querySelector("section progress") !== null; })
      .observe(document.body, { subtree: true, childList: true });
  });
  await step("Rebuild").click();
  await page.getByText("standby: complete").waitFor({ timeout: 60000 });
  assert.ok(await page.evaluate(() => window.sawBar));
  await page.getByText("Generation 2 (complete) is the standby: switch to it or drop it first.").waitFor();
  await step("Switch").click();
  await page.getByRole("row").filter({ hasText: "2" }).filter({ hasText: "active: it is read" }).waitFor();
  await eventually(async () => (await get(url, "/projections/orders")).job === null, "the check after the switch");
  await page.getByText("standby: previous").waitFor();
  await step("Roll back").click();
  await page.getByRole("row").filter({ hasText: "1" }).filter({ hasText: "active: it is read" }).first().waitFor();
  await eventually(async () => (await get(url, "/projections/orders")).job === null, "the check after the rollback");

  // Dropping wants the name.
  await step("Drop").click();
  const dialog = page.getByRole("dialog", { name: "Drop generation 2 of orders?" });
  const drop = dialog.getByRole("button", { name: "Drop" });
  assert.ok(await drop.isDisabled());
  await dialog.getByRole("textbox").fill("order");
  assert.ok(await drop.isDisabled());
  await isAccessible(page, "the dialog");
  await screenshot(page, "drop");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok((await get(url, "/projections/orders")).other, "Escape dropped nothing");
  await step("Drop").click();
  await dialog.getByRole("textbox").fill("orders");
  await drop.click();
  await eventually(async () => (await get(url, "/projections/orders")).other === null, "the generation is dropped");
  await page.getByText("There is no standby generation.", { exact: true }).waitFor();
  page.isClean();
});

test("a rebuilt journal is switched to once new positions are accepted", async (t) => {
  const { url } = await dev(t, { options: ["--without-processes"] });
  await post(url, "/orders", ORDER, { "Idempotency-Key": "o-1" });
  const before = (await get(url, "/audit/tail?last=1")).end;
  const page = await open(t, `${url}/console/#/projections/journal`);
  const step = (name) => page.getByRole("listitem").getByRole("button", { name, exact: true });
  await step("Rebuild").click();
  await page.getByText("standby: complete").waitFor({ timeout: 60000 });
  await step("Switch").click();
  await page.getByRole("alert").filter({ hasText: "Positions change" }).waitFor();
  await page.getByRole("button", { name: "Switch and accept new positions" }).click();
  await page.getByRole("row").filter({ hasText: "2" }).filter({ hasText: "active: it is read" }).waitFor();
  const old = await fetch(`${url}/audit/tail?after=${before}`);
  assert.equal(old.status, 400, "positions of before are refused");
  page.isClean();
});

test("a step that the API refuses says why", async (t) => {
  const { url } = await dev(t);
  const page = await open(t, `${url}/console/#/projections/orders`);
  const why = { type: "x:not-now", title: "Not now", status: 409, detail: "another job began a moment ago" };
  await page.route("**/projections/orders/rebuild", (route) =>
    route.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify(why) }));
  await page.getByRole("button", { name: "Rebuild" }).click();
  await page.getByRole("alert").filter({ hasText: "The step failed. Another job began a moment ago." }).waitFor();
  page.isClean();
});
