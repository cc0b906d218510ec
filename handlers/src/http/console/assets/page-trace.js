// Trace: the tree of causes of a business process, as a picture and as a table.

import { html, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { between, count, cut, preview, visible } from "./format.js";
import { Empty, Failure, Id, Loading, Section, Table, Time } from "./parts.js";
import { useResource } from "./resource.js";
import { go, link } from "./routing.js";

export function Trace({ id }) {
  return html`<h1>Tree of causes</h1><${Search} key=${id} id=${id} />
    ${id ? html`<${Tree} key=${id} id=${id} />` : html`<${Empty} title="Which business process?">
      Enter its correlation id: by default the id of the command that began it. Every event on the
      pages <a href=${link("live")}>Live</a> and <a href=${link("streams")}>Streams</a> links to its tree.<//>`}`;
}

function Search({ id }) {
  const [text, setText] = useState(id ?? "");
  const find = (event) => {
    event.preventDefault();
    if (text.trim()) go(link("trace", text.trim()));
  };
  return html`<form class="filters" role="search" onSubmit=${find}>
    <label class="grow">Correlation id <input type="search" value=${text} autocomplete="off" spellcheck="false"
      onInput=${(event) => setText(event.currentTarget.value)} /></label>
    <span class="tools"><button class="primary" type="submit">Show</button></span></form>`;
}

function Tree({ id }) {
  const trace = useResource((signal) => call(operations.trace, { path: { correlation: id }, signal }), [id]);
  if (trace.loading) return html`<${Loading} what="the tree" />`;
  if (trace.error) {
    return html`<${Failure} error=${trace.error} what="Reading the tree of causes" retry=${trace.reload} />
      ${trace.error.status === 404 && html`<p class="hint">New commits are in the audit index after a moment.</p>`}`;
  }
  const { roots, commits, truncated, damaged } = trace.data;
  const steps = flatten(roots);
  const total = steps.length > 0 ? between(steps[0].at, steps.map((step) => step.at).sort().at(-1)) : "";
  const tools = html`<button type="button" onClick=${trace.reload}>Refresh</button>`;
  return html`
    <${Section} title=${`${count(commits, "command")} in ${total || "no time"}`} id="picture" tools=${tools}>
      ${truncated && html`<p class="notice warn">The tree has more commands: these are the oldest.</p>`}
      ${damaged.length > 0 && html`<div class="notice bad" role="alert"><p><strong>${count(damaged.length, "commit")} cannot be read as written.</strong></p>
        <ul>${damaged.map((one) => html`<li>${visible(JSON.stringify(one))}</li>`)}</ul></div>`}
      <div class="scroll" role="region" aria-label="Picture of the tree" tabindex="0"><${Picture} steps=${steps} /></div><//>
    <${Section} title="Steps">
      <${Table} label="Commands of the tree, with their events" columns=${["Events", "Stream", "Actor", "Recorded", { title: "After its cause", kind: "number" }, "Data"]}>
        ${steps.map((step) => html`<tr key=${step.index}>
          <th scope="row"><span class="depth">${"› ".repeat(step.depth)}</span>${step.types}</th>
          <td><${Id} value=${step.stream} href=${step.href} /></td>
          <td>${visible(cut(step.actor))}</td>
          <td><${Time} at=${step.at} /></td>
          <td class="number">${step.latency || "–"}</td>
          <td><code class="preview">${step.data}</code></td></tr>`)}<//><//>`;
}

/** The commands in the order of a walk through the tree, each with its depth and its cause. */
function flatten(roots) {
  const steps = [];
  const walk = (command, depth, parent) => {
    const { stream, version, actor, recorded_at: at, events } = command;
    const index = steps.length;
    steps.push({
      index, depth, parent, stream, actor, at, href: link("streams", stream, { at: version }),
      types: events.map((event) => visible(event.type)).join(", "),
      data: preview(events.length === 1 ? events[0].data : events.map((event) => event.data), 120),
      latency: parent === null ? "" : `+${between(steps[parent].at, at)}`,
    });
    for (const event of events) for (const caused of event.commands) walk(caused, depth + 1, index);
  };
  for (const root of roots) walk(root, 0, null);
  return steps;
}

const [BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT, INDENT, MARGIN] = [420, 46, 60, 40, 8];

function Picture({ steps }) {
  const x = (step) => MARGIN + step.depth * INDENT;
  const y = (step) => MARGIN + step.index * ROW_HEIGHT;
  const depth = Math.max(0, ...steps.map((step) => step.depth));
  const [width, height] = [2 * MARGIN + depth * INDENT + BOX_WIDTH + 80, 2 * MARGIN + steps.length * ROW_HEIGHT];
  return html`<svg class="tree" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label="Commands and what caused them">
    ${steps.filter((step) => step.parent !== null).map((step) => {
      const parent = steps[step.parent];
      const [left, top, middle] = [x(parent) + INDENT / 2, y(parent) + BOX_HEIGHT, y(step) + BOX_HEIGHT / 2];
      return html`<path key=${`line ${step.index}`} class="cause" d=${`M ${left} ${top} V ${middle} H ${x(step)}`} />`;
    })}
    ${steps.map((step) => html`<a key=${step.index} href=${step.href}>
      <rect x=${x(step)} y=${y(step)} width=${BOX_WIDTH} height=${BOX_HEIGHT} rx="6" />
      <text class="types" x=${x(step) + 12} y=${y(step) + 19}>${cut(step.types, 44)}</text>
      <text class="where" x=${x(step) + 12} y=${y(step) + 36}>${visible(cut(step.stream, 32))} · ${visible(cut(step.actor, 18))}</text>
      <text class="latency" x=${x(step) + BOX_WIDTH - 12} y=${y(step) + 19} text-anchor="end">${step.latency}</text></a>`)}
  </svg>`;
}
