// Input that a page must show as text, and addresses of what is not there.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, eventually, get, isAccessible, open, ORDER, post, screenshot } from "./harness.mjs";

after(closeBrowser);

const SCRIPT = "<script>alert(1)</script>";
const IMAGE = '<img/src=x/onerror="alert(2)">';

test("script tags in each field are text, on every page", async (t) => {
  const { url } = await dev(t, { options: ["--without-processes"] });
  const headers = { "Idempotency-Key": `${SCRIPT}`, "X-Actor": IMAGE, "X-Correlation-Id": `${IMAGE}/${SCRIPT}` };
  const placed = await post(url, "/orders", ORDER, headers);
  assert.equal(placed.status, 201, JSON.stringify(placed.body));
  const id = placed.body.stream.replace("order-", "");
  const reason = `${SCRIPT} ${IMAGE} "'&amp; \u202e reversed \u200b 💥`;
  const rejected = await post(url, `/orders/${id}/reject`, { reason }, { ...headers, "Idempotency-Key": IMAGE });
  assert.equal(rejected.status, 200, JSON.stringify(rejected.body));
  const correlation = headers["X-Correlation-Id"];
  await eventually(async () => (await get(url, `/audit/trace/${encodeURIComponent(correlation)}`)).commits === 2, "the tree");
  const page = await open(t, `${url}/console/`);
  for (const hash of ["#/", "#/live", `#/streams/${placed.body.stream}`, `#/trace/${encodeURIComponent(correlation)}`,
    `#/streams?prefix=${encodeURIComponent(SCRIPT)}`, `#/streams/${encodeURIComponent(SCRIPT)}`, `#/trace/${encodeURIComponent(SCRIPT)}`,
    `#/projections/${encodeURIComponent(IMAGE)}`, `#/parked/${encodeURIComponent(IMAGE)}`, `#/commands/${encodeURIComponent(IMAGE)}`,
    `#/${encodeURIComponent(SCRIPT)}`, `#/live?category=${encodeURIComponent(IMAGE)}&type=${encodeURIComponent(SCRIPT)}`]) {
    await page.goto(`${url}/console/${hash}`);
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    await page.locator("main").filter({ hasNotText: "Loading" }).waitFor();
    assert.equal(await page.locator("main script, main img, body > script").count(), 0, hash);
  }
  await page.goto(`${url}/console/#/streams/${placed.body.stream}`);
  await page.getByRole("button", { name: "OrderRejected" }).click();
  await page.getByText('\\u202e reversed \\u200b').first().waitFor();
  await page.getByText("Command and cause").first().click();
  await isAccessible(page, "hostile text");
  await screenshot(page, "hostile");
  page.isClean();
});

test("a huge event is cut until the reader wants all of it", async (t) => {
  const { url } = await dev(t, { options: ["--without-processes"] });
  const lines = Array.from({ length: 100 }, () => ORDER.lines[0]);
  const placed = await post(url, "/orders", { ...ORDER, lines: [ORDER.lines[0]] }, { "Idempotency-Key": "huge" });
  const { stream } = placed.body;
  const page = await open(t, `${url}/console/`, {
    before: (page) => page.route(`**/audit/streams/${stream}?*`, async (route) => {
      const answer = await (await route.fetch()).json();
      answer.events[0].data = { lines, note: "x".repeat(390 * 1024) };
      await route.fulfill({ json: answer });
    }),
  });
  await page.goto(`${url}/console/#/streams/${stream}`);
  await page.getByRole("button", { name: "OrderPlaced" }).click();
  const data = page.getByRole("region", { name: "Data of OrderPlaced" });
  await data.waitFor();
  assert.ok((await data.innerText()).length < 30000);
  await page.getByRole("button", { name: /^Show all \d+ KB$/ }).click();
  await eventually(async () => (await data.innerText()).length > 390 * 1024, "all of it");
  page.isClean();
});

test("a stream of 100,000 events is shown in parts", async (t) => {
  const { url } = await dev(t);
  const event = (version) => ({ version, type: "Noted", schema: 1, recorded_at: "2026-01-01T00:00:00.000Z", actor: "a",
    command_id: `c-${version}`, correlation_id: "c", causation_id: null, data: { version } });
  const page = await open(t, `${url}/console/`, {
    before: (page) => page.route("**/audit/streams/order-long?*", (route) => {
      const from = Number(new URL(route.request().url()).searchParams.get("from"));
      const events = Array.from({ length: Math.min(100, 100001 - from) }, (_, index) => event(from + index));
      return route.fulfill({ json: { stream: "order-long", head: { version: 100000, hash: "" }, events, next_from: from + 100, to: 100000 } });
    }),
  });
  await page.goto(`${url}/console/#/streams/order-long`);
  await page.getByText("100,000 events in all, shown: 99,901 to 100,000").waitFor();
  await page.getByRole("button", { name: "Verify 100,000 events" }).waitFor();
  await page.getByRole("link", { name: "First" }).click();
  await page.getByText("shown: 1 to 100").waitFor();
  await page.goto(`${url}/console/#/streams/order-long?at=54321`);
  await page.getByText("shown: 54,301 to 54,400").waitFor();
  assert.ok(await page.locator(".timeline > li").count() <= 100);
  page.isClean();
});

test("what is not there is told, with what to do next", async (t) => {
  const { url } = await dev(t);
  await post(url, "/orders", ORDER);
  const page = await open(t, `${url}/console/`);
  for (const [hash, text] of [
    ["#/streams/order-nothing", /Reading the stream failed/],
    ["#/streams/no_name", /Reading the stream failed/],
    ["#/streams/%E0%A4%A", /Reading the stream failed/],
    ["#/trace/nothing", /Reading the tree of causes failed/],
    ["#/projections/nothing", /Reading the projection failed.*known: orders/],
    ["#/parked/nothing", /There is no projection nothing/],
    ["#/commands/POST%20%2Fnothing", /The API has no such operation/],
    ["#/nothing", /There is no page of this address/],
  ]) {
    await page.goto(`${url}/console/${hash}`);
    await page.locator("main").filter({ hasText: text }).waitFor();
  }
  const { paths } = await get(url, "/openapi.json");
  if (paths["/audit/tail"]) {
    await page.goto(`${url}/console/#/live?after=999999`);
    await page.getByRole("alert").filter({ hasText: "Following the journal failed." }).waitFor();
    await page.getByRole("link", { name: "Go to the end" }).click();
    await page.getByText("live", { exact: true }).or(page.getByText("✓ live")).first().waitFor();
  }
  page.isClean();
});
