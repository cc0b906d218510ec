// Small parts of all pages.

import { html, useEffect, useRef, useState } from "./preact-htm.js";
import { bytes, cut, localTime, utcTime, visible } from "./format.js";
import { observable, useObservable } from "./config.js";
import { grantedScopes, session } from "./login.js";

/** What assistive technology announces: one short text at a time. */
export const announcement = observable("");

/** A time of the server in the reader's zone, with the UTC time in its title. */
export function Time({ at }) {
  if (!at) return html`<span class="muted">–</span>`;
  const [day, time] = localTime(at);
  return html`<time datetime=${at} title=${utcTime(at)}><span class="day">${day}, </span>${time}</time>`;
}

/** An id, cut in its middle, with its whole text in the title and a button that copies it. */
export function Id({ value, href, length, copy = true }) {
  if (value === null || value === undefined) return html`<span class="muted">–</span>`;
  const text = html`<span title=${visible(value)}>${visible(cut(value, length))}</span>`;
  return html`<span class="id">
    ${href ? html`<a href=${href}>${text}</a>` : text}
    ${copy && html`<${Copy} text=${value} what=${visible(cut(value, length))} />`}
  </span>`;
}

export function Copy({ text, what }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(() => setDone(true), () => {});
    announcement.set(`Copied ${what}`);
  };
  return html`<button class="copy" type="button" onClick=${copy} aria-label=${`Copy ${what}`}
    title="Copy">${done ? "✓" : html`<svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true"><path
    d="M5 5V2h9v9h-3M2 5h9v9H2z" fill="none" stroke="currentColor" stroke-width="1.5" /></svg>`}</button>`;
}

const SIGNS = { good: "✓", bad: "✗", warn: "!", busy: "…", plain: "" };

/** A state: its sign and its word say what its colour says. */
export function Badge({ kind, children }) {
  return html`<span class=${`badge ${kind}`}>
    ${SIGNS[kind] && html`<span aria-hidden="true">${SIGNS[kind]} </span>`}${children}</span>`;
}

export function Loading({ what }) {
  return html`<p class="muted" role="status">Loading ${what}…</p>`;
}

/** An empty list, with what to do next. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="lead">${title}</p><div>${children}</div></div>`;
}

/** What failed, why, and a button that tries it again. */
export function Failure({ error, what, retry }) {
  if (!error) return null;
  return html`<div class="notice bad" role="alert">
    <p><strong>${what} failed.</strong> ${visible(explain(error))}</p>
    ${error.problem?.errors?.length > 1 && html`<ul>${error.problem.errors.map((one) =>
      html`<li><code>${one.field}</code>: ${one.rule}</li>`)}</ul>`}
    ${error.problem?.error_id && html`<p>Error id for the operators: <code>${error.problem.error_id}</code></p>`}
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

function explain(error) {
  const detail = sentence(error.message);
  if (error.status === 0) return `The API does not answer (${error.message}). Is it running?`;
  if (error.status === 401) return `The API does not accept the token. ${detail}`;
  if (error.status === 404 && !error.problem.type) return `This server does not have ${error.operation}.`;
  if (error.status !== 403) return detail;
  const granted = session.get().token ? grantedScopes() : [];
  const have = granted.length > 0 ? `Your token has ${granted.join(", ")}.` : "Your token has no scope of this API.";
  const missing = error.scope ? `It needs the scope ${error.scope}, which your token does not have.` : detail;
  return `${missing} ${session.get().token ? have : ""}`;
}

/** A text of the API as a sentence. */
export function sentence(text) {
  const trimmed = String(text ?? "").trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) || first === "" ? first : `${first}.`;
}

/** Text of the OpenAPI document, in which back quotes mark code. */
export function Prose({ text }) {
  return sentence(text).split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

// A browser takes seconds to lay out a megabyte of text.
const MAX_SHOWN = 20000;

/** JSON as text. A long one is cut until the reader wants all of it. */
export function Json({ value, label = "Data" }) {
  const [all, setAll] = useState(false);
  const full = JSON.stringify(value, null, 2) ?? "";
  const isCut = !all && full.length > MAX_SHOWN;
  return html`<div class="json">
    <pre tabindex="0" role="region" aria-label=${label}>${visible(isCut ? `${full.slice(0, MAX_SHOWN)}…` : full)}</pre>
    <div class="tools">
      <${Copy} text=${full} what=${label} />
      ${isCut && html`<button type="button" onClick=${() => setAll(true)}>Show all ${bytes(full.length)}</button>`}
    </div>
  </div>`;
}

/** A headed part of a page. */
export function Section({ title, tools, children, id }) {
  const name = id ?? title.toLowerCase().replace(/\W+/g, "-");
  return html`<section class="panel" aria-labelledby=${name}>
    <div class="head"><h2 id=${name}>${title}</h2>${tools && html`<div class="tools">${tools}</div>`}</div>
    ${children}
  </section>`;
}

/** A table that scrolls sideways on a narrow screen, also by keyboard. */
export function Table({ label, columns, children }) {
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0">
    <table>
      <caption class="unseen">${label}</caption>
      <thead><tr>${columns.map((column) => typeof column === "string"
        ? html`<th scope="col">${column}</th>`
        : html`<th scope="col" class=${column.kind}>${column.title}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
  </div>`;
}

/** A figure with its name. */
export function Tile({ name, value, kind = "plain", href, note }) {
  const figure = href ? html`<a href=${href}>${value}</a>` : value;
  return html`<div class=${`tile ${kind}`}>
    <dt>${name}</dt><dd>${figure}</dd>${note && html`<dd class="note">${note}</dd>`}
  </div>`;
}

/** A dialog over the page. Escape closes it; the browser gives the focus back. */
export function Dialog({ title, onClose, children }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${box} aria-labelledby="dialog-title" onClose=${onClose}>
    <h2 id="dialog-title">${title}</h2>${children}
  </dialog>`;
}

/** Announces what changes without the reader's doing. */
export function Announcer() {
  const text = useObservable(announcement);
  return html`<p class="unseen" role="status" aria-live="polite" id="announcer">${text}</p>`;
}

/** A result of the reader's own action. */
export function Outcome({ kind = "good", children }) {
  return html`<div class=${`notice ${kind}`} role="status">${children}</div>`;
}
