// Every page, in both colour schemes and at two widths, for both apps.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, eventually, get, isAccessible, open, ORDER, post, screenshot } from "./harness.mjs";

after(closeBrowser);

/** Sends orders, some of which can be delivered, and returns a stream and a correlation id. */
async function filled(url) {
  await post(url, "/stock/9780306406157/receive", { quantity: 3 });
  for (let number = 1; number <= 5; number++) {
    await post(url, "/orders", ORDER, { "Idempotency-Key": `order-${number}` });
  }
  const found = await eventually(async () => {
    const { events } = await get(url, "/audit/events?type=OrderRejected");
    return events.length >= 2 && events[0];
  }, "rejected orders in the audit index");
  return { stream: found.stream, correlation: found.correlation_id };
}

test("every page is accessible and without errors, in both schemes and widths", async (t) => {
  const { url } = await dev(t);
  const { stream, correlation } = await filled(url);
  const pages = {
    overview: ["#/", "Last events", /OrderPlaced/],
    live: ["#/live", null, /OrderPlaced/],
    streams: ["#/streams?category=order", null, /order-/],
    stream: [`#/streams/${stream}`, "As of", /verified: 2 commits as written/],
    trace: [`#/trace/${correlation}`, "Steps", /After its cause/],
    projections: ["#/projections", null, /bestsellers/],
    projection: ["#/projections/orders", "Generations", /active: it is read/],
    parked: ["#/parked", null, /nothing stands still/],
    commands: [`#/commands/${encodeURIComponent("POST /orders")}`, "Answers", /customer_id/],
    trust: ["#/trust", "Verify all streams", /hash chain/],
    missing: ["#/nothing", null, /There is no page of this address/],
  };
  for (const scheme of ["light", "dark"]) {
    for (const width of [1440, 360]) {
      const page = await open(t, `${url}/console/`, { scheme, width });
      for (const [name, [hash, heading, text]] of Object.entries(pages)) {
        const what = `${name}, ${scheme}, ${width} px`;
        await page.goto(`${url}/console/${hash}`);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        if (heading) await page.getByRole("heading", { name: heading }).first().waitFor();
        await page.locator("main").filter({ hasText: text }).waitFor();
        await page.locator("main").filter({ hasNotText: "Loading" }).waitFor();
        await isAccessible(page, what);
        const surplus = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(surplus <= 0, `${what} is ${surplus} px too wide`);
        await screenshot(page, `${name}-${scheme}-${width}`);
      }
      page.isClean();
    }
  }
});

test("a very wide screen is used, and a very narrow one is enough", async (t) => {
  const { url } = await dev(t);
  for (const width of [320, 2560]) {
    const page = await open(t, `${url}/console/`, { width });
    await page.getByRole("heading", { name: "Consumers" }).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px`);
    await screenshot(page, `overview-light-${width}`);
    page.isClean();
  }
});

test("the second app has the same console with its own names", async (t) => {
  const { url } = await dev(t, { app: "billing" });
  const page = await open(t, `${url}/console/`);
  await page.getByRole("button", { name: "Send a sample command" }).click();
  await page.getByText("Recorded:").waitFor();
  const consumers = page.getByRole("region", { name: /^Consumers/ });
  await consumers.getByRole("row").nth(1).waitFor();
  const names = await consumers.getByRole("rowheader").allInnerTexts();
  const { projections } = await get(url, "/projections");
  assert.deepEqual(names.map((name) => name.split(/\s/)[0]), projections.map(({ name }) => name));
  await page.goto(`${url}/console/#/commands`);
  await page.getByRole("link", { name: /POST \/transfers/ }).click();
  await page.getByRole("heading", { name: "POST /transfers" }).waitFor();
  const text = await page.evaluate(() => document.documentElement.outerHTML);
  assert.doesNotMatch(text, /order|isbn|bookshop|bestseller/i);
  await screenshot(page, "billing-commands");
  page.isClean();
});
