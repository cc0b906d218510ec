// Commands: every operation of the API, from its OpenAPI document, with a form that sends it.

import { html, useState } from "./preact-htm.js";
import { base, openapi } from "./config.js";
import { Operation, Responses, isCommand } from "./operation.js";
import { Empty, Json, Prose, Section, Table } from "./parts.js";
import { link } from "./routing.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** All operations, those of the app first. Their names are their methods and paths. */
function allOperations() {
  const all = Object.entries(openapi.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const about = item[method];
      return { name: `${method.toUpperCase()} ${path}`, method: method.toUpperCase(), path, about, tag: about.tags?.[0] ?? "other" };
    }));
  return all;
}

export function Commands({ id }) {
  const all = allOperations();
  const chosen = all.find((one) => one.name === id);
  const [text, setText] = useState("");
  const fits = ({ name, about }) => `${name} ${about.summary ?? ""}`.toLowerCase().includes(text.trim().toLowerCase());
  const commands = all.filter((one) => isCommand(one) && fits(one));
  const others = all.filter((one) => !isCommand(one) && fits(one));
  return html`<h1>Commands</h1>
    <div class="columns commands">
      <nav class="panel" aria-label="Operations">
        <label>Find <input type="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)} /></label>
        <h2>Commands</h2><${List} operations=${commands} chosen=${chosen} />
        <h2>Reads and operator's steps</h2><${List} operations=${others} chosen=${chosen} />
        ${commands.length + others.length === 0 && html`<p class="muted">No operation has this text.</p>`}
      </nav>
      <div>${chosen ? html`<${One} key=${chosen.name} one=${chosen} />`
        : id ? html`<${Empty} title="The API has no such operation">Choose one from the list.<//>`
        : html`<${Empty} title="Choose an operation">Each has a form that is filled in with an example.
            The machine-readable description is <a href=${new URL("openapi.json", base).href}>openapi.json</a>.<//>`}</div>
    </div>`;
}

function List({ operations, chosen }) {
  return html`<ul class="operations">${operations.map((one) => html`<li key=${one.name}>
    <a href=${link("commands", one.name)} aria-current=${one === chosen ? "true" : undefined}>
      <span class="path">${one.name}</span><span class="muted">${one.about.summary}</span></a></li>`)}</ul>`;
}

function One({ one }) {
  const { about, name } = one;
  const scope = (about.security ?? []).flatMap((security) => security.token ?? [])[0];
  return html`
    <${Section} title=${name} id="operation">
      <p><${Prose} text=${about.summary} /> ${about.description && html`<${Prose} text=${about.description} />`}</p>
      <p class="hint">${scope ? html`Needs the scope <code>${scope}</code> where tokens are required.` : "Needs no token."}</p>
      <${Operation} one=${one} /><//>
    <${Section} title="Answers">
      <${Table} label="Statuses, and what they mean" columns=${["Status", "Meaning", "Body"]}>
        ${Responses({ about }).map(({ status, description, schema, type }) => html`<tr key=${status}>
          <th scope="row">${status}</th><td><${Prose} text=${description} /></td><td>${schema ?? type ?? "–"}</td></tr>`)}<//>
      <${Schemas} about=${about} /><//>`;
}

/** The schemas of the operation's bodies, as the document has them. */
function Schemas({ about }) {
  const names = new Set([...JSON.stringify([about.requestBody, about.responses]).matchAll(/#\/components\/schemas\/([^"]+)/g)].map(([, name]) => name));
  return [...names].map((name) => html`<details key=${name}><summary>Schema ${name}</summary>
    <${Json} value=${openapi.components.schemas[name]} label=${`Schema ${name}`} /></details>`);
}
