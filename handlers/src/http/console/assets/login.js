// Who uses the console. Tokens stay in memory: a reload asks for them again.

import { html, useState } from "./preact-htm.js";
import { config, observable } from "./config.js";

/** `token` and its claims; `refused` is why the API refused the last one. */
export const session = observable({ token: null, claims: null, refused: null });

session.signIn = (token) => session.set({ token, claims: claims(token), refused: null });
session.signOut = () => session.set({ token: null, claims: null, refused: null });
/** The API refused this token. An answer to an older token changes nothing. */
session.refuse = (token, problem) => {
  if (session.get().token !== token) return;
  session.set({ token: null, claims: null, refused: token ? problem?.detail ?? problem?.message : null });
};

/** The claims of a token, unverified: they only tell its owner what it allows. */
function claims(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** The scopes of the token, of those that the API knows. */
export function grantedScopes() {
  const { claims } = session.get();
  const text = claims?.scope ?? claims?.scp ?? "";
  const granted = Array.isArray(text) ? text : String(text).split(" ");
  return (config.auth.scopes ?? []).filter((scope) => granted.includes(scope));
}

export function mustSignIn() {
  return config.auth.kind !== "open" && session.get().token === null;
}

const STORED = "console-login";

/** Where the issuer sends the browser back to: this page, without its fragment. */
function callback() {
  return new URL(location.pathname, location.origin).href;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function discover() {
  const issuer = config.auth.issuer.replace(/\/$/, "");
  const response = await fetch(`${issuer}/.well-known/openid-configuration`);
  if (!response.ok) throw new Error(`the issuer's configuration has status ${response.status}`);
  return response.json();
}

/** Leaves for the issuer: authorization code with PKCE (RFC 7636). */
async function leaveForIssuer() {
  if (!crypto.subtle) throw new Error("the browser allows this on https:// pages only");
  const { authorization_endpoint } = await discover();
  const [verifier, state] = [random(), random()];
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  sessionStorage.setItem(STORED, JSON.stringify({ verifier, state, hash: location.hash }));
  const url = new URL(authorization_endpoint);
  const parameters = {
    response_type: "code", client_id: config.auth.client_id, redirect_uri: callback(), state,
    scope: ["openid", ...config.auth.scopes].join(" "),
    code_challenge: base64url(challenge), code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Exchanges the code that the issuer sent the browser back with, if it did. */
export async function returnFromIssuer() {
  const answer = new URLSearchParams(location.search);
  if (config.auth.kind !== "oidc" || !(answer.has("code") || answer.has("error"))) return;
  const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  sessionStorage.removeItem(STORED);
  history.replaceState(null, "", callback() + (stored?.hash ?? ""));
  try {
    if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
    if (!stored || stored.state !== answer.get("state")) throw new Error("the answer belongs to another sign-in");
    const { token_endpoint } = await discover();
    const form = new URLSearchParams({
      grant_type: "authorization_code", code: answer.get("code"), redirect_uri: callback(),
      client_id: config.auth.client_id, code_verifier: stored.verifier,
    });
    const response = await fetch(token_endpoint, { method: "POST", body: form });
    const tokens = await response.json();
    if (!response.ok) throw new Error(tokens.error_description ?? tokens.error ?? `status ${response.status}`);
    session.signIn(tokens.access_token);
  } catch (error) {
    session.set({ token: null, claims: null, refused: `The sign-in failed: ${error.message}.` });
  }
}

/** Takes the place of a page until there is a token. */
export function Login() {
  const { refused } = session.get();
  const why = refused
    ? html`<p class="notice bad" role="alert"><strong>Sign in again.</strong> ${refused}</p>`
    : html`<p>This API answers callers with a token only.</p>`;
  return html`
    <section class="panel narrow" aria-labelledby="login">
      <h1 id="login">Sign in</h1>
      ${why}
      ${config.auth.kind === "oidc" ? html`<${IssuerLogin} />` : html`<${PasteToken} />`}
    </section>`;
}

function IssuerLogin() {
  const [failure, setFailure] = useState(null);
  const leave = () => leaveForIssuer().catch((error) => setFailure(error.message));
  return html`
    <p>You sign in at <code>${new URL(config.auth.issuer).host}</code> and come back here.</p>
    <button class="primary" onClick=${leave}>Sign in</button>
    ${failure && html`<p class="notice bad" role="alert">The issuer cannot be reached: ${failure}</p>`}
    <details><summary>Use a token instead</summary><${PasteToken} /></details>`;
}

function PasteToken() {
  const [text, setText] = useState("");
  const token = text.trim().replace(/^Bearer\s+/i, "");
  const submit = (event) => {
    event.preventDefault();
    if (token) session.signIn(token);
  };
  return html`
    <form onSubmit=${submit} class="stack">
      <label for="token">Token (a JWT)</label>
      <textarea id="token" rows="5" spellcheck="false" autocomplete="off" value=${text}
        onInput=${(event) => setText(event.currentTarget.value)}></textarea>
      <p class="hint">It stays in the memory of this page and is forgotten by a reload.
        These scopes are known: ${(config.auth.scopes ?? []).join(", ")}.</p>
      <div><button class="primary" type="submit" disabled=${!token}>Use this token</button></div>
    </form>`;
}
