// The first five minutes of a new user, who has only the console.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, get, open, ORDER, post, screenshot } from "./harness.mjs";

after(closeBrowser);

test("the greeting names the console, and the root leads to it", async (t) => {
  const { url, greeting } = await dev(t);
  assert.match(greeting, new RegExp(`console +${url}/console/`));
  const page = await open(t, url);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/console/");
  page.isClean();
});

test("a sample command is sent, seen within two seconds, and explained by its tree", async (t) => {
  const { url } = await dev(t);
  const page = await open(t, `${url}/console/`);
  await page.getByText("Nothing has happened yet").waitFor();
  await page.getByRole("button", { name: "Send a sample command" }).click();
  await page.getByText("Recorded: 1 event in order-").waitFor();
  const events = page.getByRole("region", { name: "The last 20 events, newest first" });
  await events.getByRole("button", { name: "OrderPlaced" }).waitFor({ timeout: 2000 });
  await events.getByRole("button", { name: "OrderRejected" }).waitFor();
  const cells = await events.getByRole("row").filter({ hasText: "OrderRejected" }).getByRole("cell").allInnerTexts();
  assert.match(cells[1], /\d\d:\d\d:\d\d\.\d{3}$/);
  assert.match(cells[3], /^order-.+….+$/);
  assert.deepEqual([cells[2], cells[4], cells[5]], ["OrderRejected", "fulfilment", '{"reason":"book 9780306406157 is not available"}']);

  // Why was it rejected? The tree of causes says it.
  await page.getByRole("link", { name: "tree of causes" }).click();
  const steps = page.getByRole("region", { name: "Commands of the tree, with their events" });
  await steps.getByRole("row").filter({ hasText: "$Refused" }).waitFor();
  const refused = await steps.getByRole("row").filter({ hasText: "$Refused" }).getByRole("cell").allInnerTexts();
  assert.match(refused[0], /^stock-9780306406157/);
  assert.match(refused[3], /^\+\d+ ms$/);
  assert.match(refused[4], /2 wanted, but only 0 available/);
  const picture = page.getByRole("region", { name: "Picture of the tree" });
  await picture.getByRole("link", { name: /OrderPlaced/ }).click();
  await page.getByRole("heading", { name: /^order-/ }).waitFor();
  page.isClean();
});

test("a stream shows its commits, each state and difference, and that it is as written", async (t) => {
  const { url } = await dev(t);
  await post(url, "/stock/9780306406157/receive", { quantity: 7 }, { "Idempotency-Key": "a" });
  await post(url, "/stock/9780306406157/receive", { quantity: 5 }, { "Idempotency-Key": "b" });
  const page = await open(t, `${url}/console/#/streams/stock-9780306406157`);
  await page.getByText("verified: 2 commits as written").waitFor();
  const changes = page.getByRole("region", { name: "Changed fields" });
  await changes.getByRole("row").nth(1).waitFor();
  const row = changes.getByRole("row").filter({ hasText: "on_hand" });
  assert.deepEqual(await row.getByRole("cell").allInnerTexts(), ["7", "12"]);
  await page.getByRole("button", { name: "Version 1: show the state after it" }).click();
  await page.getByRole("heading", { name: "What version 1 changed" }).waitFor();
  await row.getByRole("cell").filter({ hasText: "none" }).waitFor();
  assert.match(page.url(), /[?&]at=1/);
  await page.getByRole("slider").press("ArrowRight");
  await page.getByRole("heading", { name: "What version 2 changed" }).waitFor();
  page.isClean();
});

test("a command's form is filled in, and sending it again shows the replay", async (t) => {
  const { url } = await dev(t);
  const page = await open(t, `${url}/console/#/commands`);
  await page.getByRole("link", { name: /^POST \/orders\s*Place/ }).click();
  assert.match(await page.getByLabel("Idempotency-Key").inputValue(), /^[0-9a-f-]{36}$/);
  await page.getByLabel("customer_id").fill("c-99");
  await page.getByRole("button", { name: "Add to lines" }).click();
  await page.getByRole("button", { name: "Remove lines 2" }).click();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  const answer = page.getByRole("status", { name: "Answer" });
  await answer.getByText("201 created").waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  await answer.getByText("replay: the first answer").waitFor();
  const { events } = await get(url, "/audit/events?type=OrderPlaced");
  assert.equal(events.length, 1);
  assert.equal(events[0].data.customer_id, "c-99");
  await screenshot(page, "command-replay");

  // A refusal of the domain is an answer with its reason.
  await page.goto(`${url}/console/#/commands/${encodeURIComponent("POST /orders/{id}/ship")}`);
  await page.getByRole("textbox", { name: "id", exact: true }).fill(events[0].stream.replace("order-", ""));
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await answer.getByText(/^✗ 4\d\d/).waitFor();

  // An asynchronous one shows its status until it is done.
  await page.goto(`${url}/console/#/commands/${encodeURIComponent("POST /orders")}`);
  await page.getByText("Other headers").click();
  await page.getByLabel("Prefer").fill("respond-async");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await answer.getByText("202 accepted").waitFor();
  await answer.getByText("✓ done").waitFor();
  page.isClean();
});

test("all streams are verified with figures", async (t) => {
  const { url } = await dev(t);
  const { paths } = await get(url, "/openapi.json");
  if (!paths["/audit/verify"]) return t.skip("the server cannot verify all streams yet");
  for (let number = 0; number < 3; number++) await post(url, "/orders", ORDER, { "Idempotency-Key": `o-${number}` });
  const page = await open(t, `${url}/console/#/trust`);
  await page.getByRole("button", { name: "Verify all" }).click();
  await page.getByText("all as written").waitFor();
  const streams = await page.locator(".tile", { hasText: "Streams" }).locator("dd").innerText();
  assert.ok(Number(streams) >= 3, streams);
  page.isClean();
});
