// Tokens, scopes, a dead API, and what browsers do.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, dev, folder, isAccessible, issuer, open, ORDER, post, screenshot } from "./harness.mjs";

after(closeBrowser);

async function signIn(page, token) {
  await page.getByLabel("Token (a JWT)").fill(token);
  await page.getByRole("button", { name: "Use this token" }).click();
}

test("a token is pasted, and a missing scope is named", async (t) => {
  const { options, token } = issuer();
  const { url } = await dev(t, { options });
  const page = await open(t, `${url}/console/#/projections`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await isAccessible(page, "sign in");
  await screenshot(page, "sign-in");
  await signIn(page, `Bearer ${token("audit")}`);
  const alert = page.getByRole("alert");
  await alert.filter({ hasText: "It needs the scope ledgerfold/operate, which your token does not have. Your token has ledgerfold/audit." }).waitFor();
  await isAccessible(page, "a missing scope");
  await screenshot(page, "missing-scope");
  await page.goto(`${url}/console/#/streams/order-1`);
  await alert.filter({ hasText: "Reading the stream failed." }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, token("operate"));
  await page.goto(`${url}/console/#/projections`);
  await page.getByRole("rowheader", { name: /orders/ }).waitFor();
  page.isClean();
});

test("a refused token is asked for again, and the page goes on where it was", async (t) => {
  const { options, token } = issuer();
  const { url } = await dev(t, { options });
  const page = await open(t, `${url}/console/#/projections/orders`);
  await signIn(page, "a.b.c");
  await page.getByRole("alert").filter({ hasText: "Sign in again." }).waitFor();
  await signIn(page, token("operate", "audit", "read", "write"));
  await page.getByRole("heading", { name: "orders" }).waitFor();
  await page.getByText("active: it is read").waitFor();
  assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])), '[{},{},""]');
  page.isClean();
});

test("a dead API is told, and the page goes on when it is back", async (t) => {
  const data = folder();
  const first = await dev(t, { data });
  await post(first.url, "/orders", ORDER, { "Idempotency-Key": "before" });
  const page = await open(t, `${first.url}/console/`);
  await page.getByRole("rowheader", { name: /orders/ }).waitFor();
  await first.stop();
  await page.getByText("no connection, trying again").waitFor();
  await page.getByRole("alert").filter({ hasText: "The API does not answer" }).first().waitFor();
  assert.ok(await page.getByRole("rowheader", { name: /orders/ }).isVisible(), "the last figures stay");
  await screenshot(page, "dead-api");
  await dev(t, { data, port: first.port });
  await page.locator(".online").waitFor();
  await page.getByRole("alert").waitFor({ state: "detached" });
  page.isClean();
});

test("an API that is dead at the start is told, and a button tries again", async (t) => {
  const { url } = await dev(t);
  let dead = true;
  const page = await open(t, `${url}/console/`, {
    before: (page) => page.route("**/config.json", (route) => (dead ? route.abort() : route.continue())),
  });
  await page.getByRole("heading", { name: "The console cannot start" }).waitFor();
  dead = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  page.isClean();
});

test("a wrong clock of the client changes nothing", async (t) => {
  const { url } = await dev(t);
  await post(url, "/orders", ORDER, { "Idempotency-Key": "one" });
  for (const time of ["1997-01-01T00:00:00Z", "2091-06-01T00:00:00Z"]) {
    const page = await open(t, `${url}/console/`, { before: (page) => page.clock.setFixedTime(new Date(time)) });
    await page.getByRole("rowheader", { name: /orders/ }).waitFor();
    await page.getByRole("button", { name: "Send a sample command" }).click();
    await page.getByText("Recorded: 1 event").waitFor();
    assert.doesNotMatch(await page.locator("main").innerText(), /1997|2091|-\d+ s/);
    page.isClean();
  }
});

test("back and forward, deep links and two tabs", async (t) => {
  const { url } = await dev(t);
  await post(url, "/stock/9780306406157/receive", { quantity: 1 });
  const page = await open(t, `${url}/console/#/streams/stock-9780306406157`);
  const heading = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
  await heading(/^stock-9780306406157/);
  await page.getByRole("link", { name: "Projections" }).click();
  await heading("Projections");
  await page.getByRole("link", { name: "bestsellers" }).click();
  await heading("bestsellers");
  await page.goBack();
  await heading("Projections");
  await page.goBack();
  await heading(/^stock-9780306406157/);
  await page.goForward();
  await heading("Projections");
  await page.reload();
  await heading("Projections");
  const other = await open(t, `${url}/console/#/projections/stock`);
  await other.getByRole("heading", { level: 1, name: "stock" }).waitFor();
  await other.getByRole("button", { name: "Rebuild" }).click();
  await page.getByRole("row").filter({ hasText: "stock" }).getByText("2, complete").waitFor();
  page.isClean();
  other.isClean();
});

test("people come back from their issuer with a token, by PKCE", async (t) => {
  const { options, token } = issuer();
  const { url } = await dev(t, { options });
  const login = "https://login.example";
  const asked = {};
  const before = async (page) => {
    await page.route("**/console/config.json", async (route) => {
      const config = await (await route.fetch()).json();
      await route.fulfill({ json: { ...config, auth: { ...config.auth, kind: "oidc", issuer: login, client_id: "console" } } });
    });
    // The policy of this page does not know the issuer: a server with an issuer sends another one.
    await page.route(/\/console\/(\?.*)?$/, async (route) => {
      const answer = await route.fetch();
      const policy = answer.headers()["content-security-policy"].replace("connect-src 'self'", `connect-src 'self' ${login}`);
      await route.fulfill({ response: answer, headers: { ...answer.headers(), "content-security-policy": policy } });
    });
    await page.route(`${login}/**`, async (route) => {
      const { pathname, searchParams } = new URL(route.request().url());
      const headers = { "Access-Control-Allow-Origin": "*" };
      if (pathname.endsWith("openid-configuration")) {
        return route.fulfill({ headers, json: { authorization_endpoint: `${login}/authorize`, token_endpoint: `${login}/token` } });
      }
      if (pathname === "/token") {
        Object.assign(asked, { form: new URLSearchParams(route.request().postData()) });
        return route.fulfill({ headers, json: { access_token: token("operate") } });
      }
      Object.assign(asked, { query: searchParams });
      return route.fulfill({ contentType: "text/html", body: "<h1>The issuer</h1>" });
    });
  };
  const page = await open(t, `${url}/console/#/projections/orders`, { before });
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "The issuer" }).waitFor();
  await page.goto(`${asked.query.get("redirect_uri")}?code=c-1&state=${asked.query.get("state")}`);
  await page.getByText("active: it is read").waitFor();
  assert.equal(asked.query.get("code_challenge_method"), "S256");
  assert.equal(asked.query.get("redirect_uri"), `${url}/console/`);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(asked.form.get("code_verifier")));
  assert.equal(Buffer.from(digest).toString("base64url"), asked.query.get("code_challenge"));
  assert.equal(asked.form.get("client_secret"), null);
  assert.equal(page.url(), `${url}/console/#/projections/orders`);

  // An answer to a sign-in that this page did not begin is refused.
  const forged = await open(t, `${url}/console/?code=c-1&state=forged`, { before });
  await forged.getByRole("alert").filter({ hasText: "the answer belongs to another sign-in" }).waitFor();
  page.isClean();
  forged.isClean();
});
