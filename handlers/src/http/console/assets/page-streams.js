// Streams: found by the beginning of their names.

import { html, useEffect, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { config } from "./config.js";
import { count, number, visible } from "./format.js";
import { Empty, Failure, Id, Loading, Outcome, Section, Table } from "./parts.js";
import { useAction, useResource } from "./resource.js";
import { go, link } from "./routing.js";

const LIMIT = 100;

export function Streams({ query }) {
  const category = query.get("category") ?? "";
  const prefix = query.get("prefix") ?? "";
  return html`<h1>Streams</h1>
    <${Search} category=${category} prefix=${prefix} />
    <${Found} key=${`${category}|${prefix}`} category=${category} prefix=${prefix} />`;
}

function Search({ category, prefix }) {
  const [text, setText] = useState(prefix);
  useEffect(() => setText(prefix), [prefix]);
  const find = (event) => {
    event.preventDefault();
    go(link("streams", "", { category, prefix: text.trim() }));
  };
  const choose = (event) => go(link("streams", "", { category: event.currentTarget.value, prefix: text.trim() }));
  const open = () => go(link("streams", text.trim()));
  return html`<form class="filters" role="search" onSubmit=${find}>
    <label>Category <select value=${category} onChange=${choose}>
      <option value="">all</option>
      ${config.categories.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
    <label class="grow">Name begins with
      <input type="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)}
        placeholder=${`${config.categories[0] ?? "stream"}-`} autocomplete="off" spellcheck="false" /></label>
    <span class="tools"><button class="primary" type="submit">Search</button>
      <button type="button" disabled=${!text.trim()} onClick=${open}>Open this name</button></span>
  </form>`;
}

function Found({ category, prefix }) {
  const page = (cursor, signal) => call(operations.streams, { query: { category, prefix, cursor, limit: LIMIT }, signal });
  const first = useResource((signal) => page(undefined, signal), [category, prefix]);
  const [rest, setRest] = useState({ streams: [], next: undefined });
  const more = useAction(async (cursor) => {
    const { streams, next_cursor: next } = await page(cursor);
    setRest((before) => ({ streams: [...before.streams, ...streams], next }));
  });
  if (first.loading) return html`<${Loading} what="streams" />`;
  if (first.error) return html`<${Failure} error=${first.error} what="Searching streams" retry=${first.reload} />`;
  const streams = [...first.data.streams, ...rest.streams];
  const next = rest.next === undefined ? first.data.next_cursor : rest.next;
  if (streams.length === 0 && !next) {
    return html`<${Empty} title="No stream has such a name">
      ${prefix || category ? html`<a href=${link("streams")}>Show all streams</a>, or check the spelling: names begin with their category.`
        : html`Send a first command on the page <a href=${link("commands")}>Commands</a>.`}<//>`;
  }
  return html`<${Section} title=${`${count(streams.length, "stream")}${next ? " so far" : ""}`} id="found">
    <${Table} label="Streams by name" columns=${["Stream", { title: "Events", kind: "number" }, { title: "Last position", kind: "number" }, "Go to"]}>
      ${streams.map(({ stream, version, position }) => html`<tr key=${stream}>
        <th scope="row"><${Id} value=${stream} length="48" href=${link("streams", stream)} /></th>
        <td class="number">${number(version)}</td>
        <td class="number">${position === null ? "–" : html`<a href=${link("live", "", { after: position - 1 })}>${number(position)}</a>`}</td>
        <td><a href=${link("streams", stream)} aria-label=${`History of ${visible(stream)}`}>history</a></td></tr>`)}<//>
    <${Failure} error=${more.error} what="Reading more streams" />
    ${next && html`<p><button type="button" disabled=${more.busy} onClick=${() => more.run(next)}>Show more</button></p>`}
    ${!next && rest.streams.length > 0 && html`<${Outcome}>These are all.<//>`}<//>`;
}
