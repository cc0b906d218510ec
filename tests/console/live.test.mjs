// The live page: how soon an event is there, filters, pause, and 10,000 events.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, eventually, get, open, ORDER, post } from "./harness.mjs";

after(closeBrowser);

/** Answers of a tail over made-up events. */
function madeUp(count) {
  const event = (position) => ({ position, stream: `order-${position}`, version: 1, type: position % 2 ? "OrderPlaced" : "OrderShipped", schema: 1,
    recorded_at: new Date(1790000000000 + position * 10).toISOString(), actor: "dev", command_id: `c-${position}`, correlation_id: `c-${position}`, causation_id: null, data: { position } });
  return async (route) => {
    const query = new URL(route.request().url()).searchParams;
    const after = query.has("last") ? Math.max(0, count.end - Number(query.get("last"))) : Number(query.get("after"));
    if (after === count.end && query.has("wait")) await new Promise((next) => setTimeout(next, 300));
    const next = Math.min(after + Number(query.get("limit")), count.end);
    const events = Array.from({ length: next - after }, (_, index) => event(after + 1 + index));
    await route.fulfill({ json: { events, damaged: [], next, end: count.end } });
  };
}

test("10,000 events are scrolled with at most 200 rows in the document", async (t) => {
  const { url } = await dev(t);
  const count = { end: 12000 };
  const page = await open(t, `${url}/console/#/live?after=0`, { before: (page) => page.route("**/audit/tail?*", madeUp(count)) });
  await page.getByText("10,000 events, newest first").waitFor();
  const rows = page.getByRole("region", { name: "Events, newest first" });
  let most = 0;
  for (let step = 0; step <= 40; step++) {
    await rows.evaluate((box, share) => { box.scrollTop = share * box.scrollHeight; }, step / 40);
    await page.evaluate(() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next))));
    most = Math.max(most, await page.locator("tr").count());
    const isFilled = await rows.evaluate((box) => {
      const { left, top, height } = box.getBoundingClientRect();
      return Boolean(document.elementFromPoint(left + 40, top + height / 2)?.closest("tr")?.hasAttribute("aria-rowindex"));
    });
    assert.ok(isFilled, `rows at ${step} of 40`);
  }
  t.diagnostic(`at most ${most} rows in the document`);
  assert.ok(most <= 200, `${most} rows`);
  await rows.getByText("order-2001", { exact: true }).waitFor();
  page.isClean();
});

test("a paused page holds still and counts, and a scrolled one keeps its place", async (t) => {
  const { url } = await dev(t);
  const count = { end: 600 };
  const page = await open(t, `${url}/console/#/live`, { before: (page) => page.route("**/audit/tail?*", madeUp(count)) });
  await page.getByText("order-600", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  count.end = 625;
  await page.getByText("paused, 25 new").waitFor();
  assert.equal(await page.getByText("order-625", { exact: true }).count(), 0);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("order-625", { exact: true }).waitFor();
  const rows = page.getByRole("region", { name: "Events, newest first" });
  await rows.evaluate((box) => { box.scrollTop = 3000; });
  const middle = () => rows.evaluate((box) => {
    const { left, top, height } = box.getBoundingClientRect();
    return document.elementFromPoint(left + 40, top + height / 2).closest("tr").innerText;
  });
  await eventually(async () => (await middle()).includes("order-5"), "scrolled");
  const before = await middle();
  count.end = 650;
  await page.getByText("650 commits").waitFor();
  await eventually(async () => (await middle()) === before, "the same row before the eyes");
  page.isClean();
});

test("filters are kept in the address", async (t) => {
  const { url } = await dev(t);
  const { paths } = await get(url, "/openapi.json");
  if (!paths["/audit/tail"]) return t.skip("the server has no tail yet");
  await post(url, "/orders", ORDER);
  await post(url, "/stock/9780306406157/receive", { quantity: 1 });
  const page = await open(t, `${url}/console/#/live`);
  await page.getByRole("button", { name: "OrderPlaced" }).waitFor();
  await page.getByLabel("Category").selectOption("stock");
  await page.getByRole("button", { name: "StockReceived" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "OrderPlaced" }).count(), 0);
  assert.match(page.url(), /category=stock/);
  await page.reload();
  await page.getByRole("button", { name: "StockReceived" }).waitFor();
  assert.equal(await page.getByLabel("Category").inputValue(), "stock");
  await page.goBack();
  await page.getByRole("button", { name: "OrderPlaced" }).waitFor();
  page.isClean();
});

test("an event is on the page within two seconds of its answer", async (t) => {
  const { url } = await dev(t, { options: ["--without-processes"] });
  const { paths } = await get(url, "/openapi.json");
  if (!paths["/audit/tail"]) return t.skip("the server has no tail yet");
  await post(url, "/orders", ORDER, { "Idempotency-Key": "first" });
  const page = await open(t, `${url}/console/#/live`);
  await page.getByRole("button", { name: "OrderPlaced" }).first().waitFor();
  t.diagnostic(`first events drawn ${Math.round(await page.evaluate(() => performance.now()))} ms after the page was opened, at most`);
  const delays = [];
  for (let number = 0; number < 50; number++) {
    const { body } = await post(url, "/orders", ORDER, { "Idempotency-Key": `timed-${number}` });
    const answered = performance.now();
    await page.waitForFunction((stream) => document.querySelector(`a[title="${stream}"]`), body.stream, { polling: 10 });
    delays.push(performance.now() - answered);
  }
  delays.sort((one, other) => one - other);
  t.diagnostic(`delay of an event: median ${Math.round(delays[25])} ms, longest ${Math.round(delays[49])} ms`);
  assert.ok(delays[25] <= 2000, `median ${delays[25]} ms`);
  page.isClean();
});
