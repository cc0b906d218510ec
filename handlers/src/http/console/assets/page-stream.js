// One stream: its commits, its state after any of them, and whether it is as it was written.

import { html, useEffect, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { count, number, preview, visible } from "./format.js";
import { Cause } from "./events.js";
import { Badge, Copy, Failure, Id, Json, Loading, Section, Table, Time } from "./parts.js";
import { useResource } from "./resource.js";
import { keepInAddress, link } from "./routing.js";

const PAGE = 100;
/** A longer stream is verified only when the reader wants it: every commit is read. */
const VERIFIED_UNASKED = 1000;

export function Stream({ id, query }) {
  const wanted = Number(query.get("at")) || null;
  const from = Number(query.get("from")) || (wanted ? firstOfPage(wanted) : null);
  const history = useResource((signal) => readHistory(id, from, signal), [id, from]);
  const head = history.data?.head.version ?? null;
  const version = head === null ? null : Math.min(wanted ?? head, head);
  const choose = (at) => keepInAddress({ from: from ?? undefined, at });
  return html`
    <div class="title"><h1><span class="id">${visible(id)} <${Copy} text=${id} what="the stream's name" /></span></h1>
      ${head !== null && html`<${Verified} stream=${id} head=${head} />`}</div>
    ${history.loading && html`<${Loading} what="the stream" />`}
    <${Failure} error=${history.error} what="Reading the stream" retry=${history.reload} />
    ${history.error?.status === 404 && html`<p><a href=${link("streams", "", { prefix: id.slice(0, 12) })}>Search for similar names</a>.</p>`}
    ${history.data && html`
      ${wanted > head && html`<p class="notice warn">The stream has no version ${number(wanted)}: it ends at ${number(head)}.</p>`}
      <div class="columns">
        <${Timeline} history=${history.data} version=${version} choose=${choose} id=${id} reload=${history.reload} />
        <${AsOf} stream=${id} head=${head} version=${version} choose=${choose} />
      </div>`}`;
}

function firstOfPage(version) {
  return Math.floor((version - 1) / PAGE) * PAGE + 1;
}

/** The page that begins at a version; without one, the last page. */
async function readHistory(stream, from, signal) {
  const read = (first) => call(operations.history, { path: { stream }, query: { from: first, limit: PAGE }, signal });
  const page = await read(from ?? 1);
  const last = firstOfPage(page.head.version);
  const isLast = from !== null || last === 1;
  return isLast ? { first: from ?? 1, ...page } : { first: last, ...(await read(last)) };
}

/** The events of a page, by commit: all events of one command are one commit. */
function commitsOf(events) {
  const commits = [];
  for (const event of events) {
    const last = commits.at(-1);
    if (last && last[0].command_id === event.command_id) last.push(event);
    else commits.push([event]);
  }
  return commits;
}

function Timeline({ history, version, choose, id, reload }) {
  const { events, head, first } = history;
  const last = firstOfPage(head.version);
  const page = (from, text, isPossible) => html`<a class="button" aria-disabled=${!isPossible}
    href=${isPossible ? link("streams", id, { from }) : undefined}>${text}</a>`;
  const tools = html`<button type="button" onClick=${reload}>Refresh</button>`;
  return html`<${Section} title="Commits" tools=${tools}>
    <p class="hint">${count(head.version, "event")} in all${events.length > 0 && head.version > events.length
      ? `, shown: ${number(events[0].version)} to ${number(events.at(-1).version)}` : ""}. Each block is one commit.</p>
    ${head.version > PAGE && html`<nav aria-label="Parts of the stream" class="tools">
      ${page(1, "First", first > 1)}${page(Math.max(1, first - PAGE), "Earlier", first > 1)}
      ${page(first + PAGE, "Later", first + PAGE <= head.version)}${page(last, "Last", first < last)}</nav>`}
    <ol class="timeline">${commitsOf(events).map((commit) => html`<${CommitBlock} key=${commit[0].version}
      commit=${commit} version=${version} choose=${choose} />`)}</ol><//>`;
}

function CommitBlock({ commit, version, choose }) {
  const [{ recorded_at: at, actor, command_id: command, correlation_id: correlation, causation_id: cause }] = commit;
  return html`<li>
    <div class="meta"><${Time} at=${at} /><span>by <strong>${visible(actor)}</strong></span>
      <a href=${link("trace", correlation)}>tree of causes</a></div>
    ${commit.map((event) => html`<${EventBlock} key=${event.version} event=${event} isChosen=${event.version === version} choose=${choose} />`)}
    <details><summary>Command and cause</summary><dl class="facts">
      <div><dt>Command</dt><dd><${Id} value=${command} length="30" /></dd></div>
      <div><dt>Correlation</dt><dd><${Id} value=${correlation} length="30" href=${link("trace", correlation)} /></dd></div>
      <div><dt>Caused by</dt><dd><${Cause} id=${cause} /></dd></div></dl></details>
  </li>`;
}

function EventBlock({ event, isChosen, choose }) {
  const [open, setOpen] = useState(false);
  const name = visible(event.type);
  return html`<div class=${`event ${isChosen ? "chosen" : ""}`}>
    <div class="line">
      <button type="button" class="version" aria-pressed=${isChosen} onClick=${() => choose(event.version)}
        aria-label=${`Version ${event.version}: show the state after it`}>${event.version}</button>
      <button type="button" class="link" aria-expanded=${open} onClick=${() => setOpen(!open)}>${name}</button>
      ${!open && html`<code class="preview">${preview(event.data, 120)}</code>`}
    </div>
    ${open && html`<${Json} value=${event.data} label=${`Data of ${name}`} />`}
  </div>`;
}

/** The state after a version, and what that version changed. */
function AsOf({ stream, head, version, choose }) {
  const [slider, setSlider] = useState(version);
  useEffect(() => setSlider(version), [version]);
  const path = { stream };
  const state = useResource((signal) => call(operations.stateAt, { path, query: { version }, signal }), [stream, version]);
  const change = useResource(
    (signal) => call(operations.difference, { path, query: { from: version - 1, to: version }, signal }), [stream, version]);
  return html`<${Section} title="As of">
    <label class="slider">Version <output>${number(slider)}</output> of ${number(head)}
      <input type="range" min="1" max=${head} value=${slider} disabled=${head === 1}
        onInput=${(event) => setSlider(Number(event.currentTarget.value))}
        onChange=${(event) => choose(Number(event.currentTarget.value))} /></label>
    ${state.data && html`<p class="hint">Recorded <${Time} at=${state.data.recorded_at} />, as a row of <strong>${state.data.read_model}</strong>.</p>`}
    <h3>What version ${number(version)} changed</h3>
    ${change.loading && html`<${Loading} what="the difference" />`}
    <${Failure} error=${change.error} what="Reading the difference" retry=${change.reload} />
    ${change.data && html`<${Changes} changes=${change.data.changes} />`}
    <h3>State after it</h3>
    ${state.loading && html`<${Loading} what="the state" />`}
    ${!change.error && html`<${Failure} error=${state.error} what="Reading the state" retry=${state.reload} />`}
    ${state.data && html`<${Json} value=${state.data.state} label="State" />`}<//>`;
}

function Changes({ changes }) {
  if (changes.length === 0) return html`<p class="muted">Nothing that the read model shows.</p>`;
  const text = (value) => value === null || value === undefined ? html`<span class="muted">none</span>`
    : html`<code>${preview(value, 60)}</code>`;
  return html`<${Table} label="Changed fields" columns=${["Field", "Before", "After"]}>
    ${changes.map(({ path, before, after }) => html`<tr key=${path}>
      <th scope="row"><code>${visible(path)}</code></th><td>${text(before)}</td><td>${text(after)}</td></tr>`)}<//>`;
}

function Verified({ stream, head }) {
  const [asked, setAsked] = useState(head <= VERIFIED_UNASKED);
  const verified = useResource(
    (signal) => asked ? call(operations.verifyStream, { path: { stream }, signal }) : Promise.resolve(null), [stream, asked, head]);
  if (!asked) return html`<button type="button" onClick=${() => setAsked(true)}>Verify ${count(head, "event")}</button>`;
  if (verified.error) return html`<${Failure} error=${verified.error} what="Verifying" retry=${verified.reload} />`;
  if (!verified.data) return html`<${Badge} kind="busy">verifying<//>`;
  const { verified: fits, commits, broken_at: broken } = verified.data;
  return html`<span role="status">${fits
    ? html`<${Badge} kind="good">verified: ${count(commits, "commit")} as written<//>`
    : html`<${Badge} kind="bad">broken at version ${broken?.version}: ${visible(broken?.reason ?? "")}<//>`}</span>`;
}
