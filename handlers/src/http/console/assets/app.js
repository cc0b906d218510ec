// The frame around all pages: navigation, sign-in, and the state of the connection.

import { Component, html, render, useEffect, useRef } from "./preact-htm.js";
import { connection } from "./api.js";
import { config, loadConfig, observable, useObservable } from "./config.js";
import { cut, visible } from "./format.js";
import { grantedScopes, Login, mustSignIn, returnFromIssuer, session } from "./login.js";
import { Announcer, announcement } from "./parts.js";
import { link, readAddress, route } from "./routing.js";
import { Commands } from "./page-commands.js";
import { Live } from "./page-live.js";
import { Overview } from "./page-overview.js";
import { Parked } from "./page-parked.js";
import { Projections } from "./page-projections.js";
import { Stream } from "./page-stream.js";
import { Streams } from "./page-streams.js";
import { Trace } from "./page-trace.js";
import { Trust } from "./page-trust.js";

const PAGES = [
  { name: "", title: "Overview", page: Overview },
  { name: "live", title: "Live", page: Live },
  { name: "streams", title: "Streams", page: Streams, one: Stream },
  { name: "trace", title: "Trace", page: Trace, one: Trace },
  { name: "projections", title: "Projections", page: Projections, one: Projections },
  { name: "parked", title: "Parked", page: Parked, one: Parked },
  { name: "commands", title: "Commands", page: Commands, one: Commands },
  { name: "trust", title: "Trust", page: Trust },
];

function App() {
  const here = useObservable(route);
  const { token, claims } = useObservable(session);
  const { online } = useObservable(connection);
  const known = PAGES.find((one) => one.name === here.page);
  useEffect(() => {
    document.title = `${known?.title ?? "Not found"}${here.id ? ` ${visible(cut(here.id, 40))}` : ""} · ${config.title}`;
    // On a narrow screen the list of pages scrolls.
    document.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [known, here.id]);
  useEffect(() => {
    if (!online) announcement.set("The API does not answer. The console tries again.");
  }, [online]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header>
      <a class="brand" href=${link("")}>${config.title}</a>
      <span class="stage" title="The stage of this deployment">${config.stage}</span>
      <span class="state">
        ${online ? html`<span class="online"><span aria-hidden="true">●</span> connected</span>`
          : html`<span class="offline"><span aria-hidden="true">▲</span> no connection, trying again</span>`}
      </span>
      ${token && html`<span class="who">
        <span title=${`Scopes: ${grantedScopes().join(", ") || "none"}`}>${visible(cut(claims?.sub ?? "signed in"))}</span>
        <button type="button" onClick=${session.signOut}>Sign out</button></span>`}
    </header>
    <nav aria-label="Pages"><ul>${PAGES.map(({ name, title }) => html`<li>
      <a href=${link(name)} aria-current=${name === here.page ? "page" : undefined}>${title}</a></li>`)}</ul></nav>
    <main id="main" tabindex="-1">
      <${Guard} key=${`${here.page}/${here.id}/${token}`}><${Page} known=${known} here=${here} /><//>
    </main>
    <${Announcer} />`;
}

/** The hash is the address of the page, so this link must not change it. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Page({ known, here }) {
  const box = useRef(null);
  useEffect(() => {
    scrollTo(0, 0);
  }, []);
  if (mustSignIn()) return html`<${Login} />`;
  const page = here.id ? known?.one : known?.page;
  if (!page) {
    return html`<h1>There is no page of this address</h1>
      <p>The address says <code>${visible(location.hash)}</code>. <a href=${link("")}>Go to the overview</a>.</p>`;
  }
  return html`<div ref=${box} class=${`page ${known.name || "overview"}`}><${page} id=${here.id} query=${here.query} /></div>`;
}

/** Shows that a page failed, instead of an empty screen. */
class Guard extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render({ children }, { error }) {
    if (!error) return children;
    return html`<div class="notice bad" role="alert"><p><strong>This page failed.</strong> ${visible(error.message)}</p>
      <button type="button" onClick=${() => this.setState({ error: null })}>Try again</button></div>`;
  }
}

const failure = observable(null);

function Start() {
  const error = useObservable(failure);
  if (!error) return html`<p class="boot" role="status">The console is loading…</p>`;
  return html`<main class="boot"><h1>The console cannot start</h1>
    <p role="alert">The API does not answer: ${visible(error.message)}.</p>
    <button type="button" class="primary" onClick=${start}>Try again</button></main>`;
}

async function start() {
  const root = document.getElementById("app");
  try {
    await loadConfig();
    await returnFromIssuer();
    readAddress();
  } catch (error) {
    failure.set(error);
    render(html`<${Start} />`, root);
    return;
  }
  render(null, root);
  root.textContent = "";
  render(html`<${App} />`, root);
}

start();
