// Events as rows of a table, and one event in full.

import { html } from "./preact-htm.js";
import { bytes, cut, visible } from "./format.js";
import { Id, Json, Time } from "./parts.js";
import { link } from "./routing.js";

export const COLUMNS = [
  { title: "Position", kind: "number wide" },
  { title: "Time", kind: "time" },
  { title: "Event", kind: "type" },
  { title: "Stream", kind: "stream" },
  { title: "Actor", kind: "actor wide" },
  { title: "Data", kind: "data wide" },
];

/** The cells of an event. Its type is a button that opens it. */
export function EventCells({ event, onOpen, isOpen }) {
  return html`
    <td class="number wide">${event.position}</td>
    <td class="time"><${Time} at=${event.recorded_at} /></td>
    <td class="type"><button type="button" class="link" aria-expanded=${isOpen}
      onClick=${() => onOpen(event)} title=${visible(event.type)}>${visible(event.type)}</button></td>
    <td class="stream"><a href=${link("streams", event.stream, { at: event.version })}
      title=${visible(event.stream)}>${visible(cut(event.stream, 26))}</a></td>
    <td class="actor wide" title=${visible(event.actor)}>${visible(cut(event.actor, 22))}</td>
    <td class="data wide"><code>${event.preview}</code></td>`;
}

export function isSame(one, other) {
  return one?.stream === other?.stream && one?.version === other?.version;
}

/** One event in full. */
export function EventDetail({ event, onClose }) {
  return html`<section class="panel detail" aria-labelledby="event-detail">
    <div class="head">
      <h2 id="event-detail">${visible(event.type)}</h2>
      <div class="tools"><button type="button" onClick=${onClose}>Close</button></div>
    </div>
    <dl class="facts">
      <div><dt>Stream</dt><dd><${Id} value=${event.stream} length="30" href=${link("streams", event.stream, { at: event.version })} /></dd></div>
      <div><dt>Version</dt><dd>${event.version}</dd></div>
      ${event.position !== undefined && html`<div><dt>Position</dt><dd>${event.position}</dd></div>`}
      <div><dt>Recorded</dt><dd><${Time} at=${event.recorded_at} /></dd></div>
      <div><dt>Actor</dt><dd><${Id} value=${event.actor} /></dd></div>
      <div><dt>Command</dt><dd><${Id} value=${event.command_id} length="30" /></dd></div>
      <div><dt>Correlation</dt><dd><${Id} value=${event.correlation_id} length="30" href=${link("trace", event.correlation_id)} /></dd></div>
      <div><dt>Caused by</dt><dd><${Cause} id=${event.causation_id} /></dd></div>
      <div><dt>Schema</dt><dd>${event.schema}${event.size > 1024 ? `, ${bytes(event.size)}` : ""}</dd></div>
    </dl>
    <p><a class="button" href=${link("trace", event.correlation_id)}>Tree of causes</a></p>
    <${Json} value=${event.data} label=${`Data of ${event.type}`} />
  </section>`;
}

/** What caused an event: `stream:version` is a link, any other id is text. */
export function Cause({ id }) {
  if (!id) return html`<span class="muted">nothing: a caller sent it</span>`;
  const [, stream, version] = /^(.+):(\d+)$/.exec(id) ?? [];
  const href = stream ? link("streams", stream, { at: version }) : undefined;
  return html`<${Id} value=${id} length="30" href=${href} />`;
}
