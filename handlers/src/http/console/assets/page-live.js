// Live: every event as it is recorded, with filters that are kept in the address.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact-htm.js";
import { config } from "./config.js";
import { count, number, visible } from "./format.js";
import { COLUMNS, EventCells, EventDetail, isSame } from "./events.js";
import { Badge, Empty, Failure, Loading } from "./parts.js";
import { go, link } from "./routing.js";
import { commitsUntil, MAX_EVENTS, useTail } from "./tail.js";

const FILTERS = ["category", "type", "not_type", "actor", "readings"];
/** Positions before the end at which the page begins. */
const LAST = 500;

export function Live({ query }) {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) || undefined]));
  const after = query.get("after");
  const tail = useTail(after === null ? { last: LAST } : { after }, filter);
  const [open, setOpen] = useState(null);
  const [paused, setPaused] = useState(null);
  const { buffer, state, error, retry } = tail;
  useEffect(() => {
    setPaused(null);
    setOpen(null);
  }, [query]);
  // A paused page shows the events that it had, and counts the others.
  const shown = paused ? paused.events : buffer.events;
  const held = paused ? buffer.received - paused.received : 0;
  const pause = () => setPaused(paused ? null : { events: [...buffer.events], received: buffer.received });
  const isFiltered = FILTERS.some((name) => filter[name]);
  return html`
    <div class="title"><h1>Live</h1>
      <div class="tools">
        <${State} state=${state} paused=${paused} held=${held} />
        <button type="button" aria-pressed=${paused !== null} onClick=${pause}>${paused ? "Continue" : "Pause"}</button>
      </div>
    </div>
    <${Filters} query=${query} />
    ${error && html`<${Failure} error=${error} what="Following the journal" retry=${retry} />`}
    ${error?.status === 400 && after !== null && html`<p><a class="button" href=${link("live")}>Go to the end</a></p>`}
    <${Damaged} found=${buffer.damaged} />
    ${shown.length === 0 && state === "connecting" && html`<${Loading} what="events" />`}
    ${shown.length === 0 && state === "live" && html`<${Empty} title=${isFiltered ? "No event fits these filters yet" : "No event yet"}>
      ${isFiltered ? html`The page goes on to look. <a href=${link("live")}>Remove the filters</a>.`
        : html`Send a command on the page <a href=${link("commands")}>Commands</a>.`}<//>`}
    <div class=${open ? "split" : ""}>
      ${shown.length > 0 && html`<${Rows} events=${shown} received=${paused ? paused.received : buffer.received}
        open=${open} onOpen=${setOpen} />`}
      ${open && html`<${EventDetail} event=${open} onClose=${() => setOpen(null)} />`}
    </div>
    <p class="hint">${count(shown.length, "event")}, newest first${
      buffer.end === null ? "" : `. The journal has ${count(commitsUntil(buffer.end), "commit")}, with readings`}. The page holds at most ${number(MAX_EVENTS)}.</p>`;
}

function State({ state, paused, held }) {
  if (paused) return html`<span role="status"><${Badge} kind="warn">paused, ${number(held)} new<//></span>`;
  const [kind, text] = { live: ["good", "live"], connecting: ["busy", "connecting"],
    retrying: ["bad", "no answer, trying again"], stopped: ["bad", "stopped"] }[state];
  return html`<span role="status"><${Badge} kind=${kind}>${text}<//></span>`;
}

function Damaged({ found }) {
  if (found.length === 0) return null;
  return html`<div class="notice bad" role="alert"><p><strong>${count(found.length, "commit")} cannot be read as written.</strong></p>
    <ul>${found.map((one) => html`<li><a href=${link("streams", one.stream)}>${visible(one.stream)}</a> version ${one.version}: ${visible(one.reason)}</li>`)}</ul></div>`;
}

function Filters({ query }) {
  const inAddress = () => Object.fromEntries([...FILTERS, "after"].map((name) => [name, query.get(name) ?? ""]));
  const [values, setValues] = useState(inAddress);
  useEffect(() => setValues(inAddress()), [query]);
  const set = (name) => (event) => setValues({ ...values, [name]: event.currentTarget.value });
  const apply = (event) => {
    event.preventDefault();
    go(link("live", "", values));
  };
  const category = (event) => go(link("live", "", { ...values, category: event.currentTarget.value }));
  const readings = (event) => go(link("live", "", { ...values, readings: event.currentTarget.checked ? "true" : "" }));
  const field = (name, label, hint) => html`<label>${label}
    <input name=${name} value=${values[name]} onInput=${set(name)} placeholder=${hint} autocomplete="off" spellcheck=${false} /></label>`;
  const isFiltered = Object.values(values).some((value) => value !== "");
  return html`<form class="filters" onSubmit=${apply} aria-label="Filters">
    <label>Category <select value=${values.category} onChange=${category}>
      <option value="">all</option>
      ${choices(values.category).map((one) => html`<option value=${one}>${visible(one)}</option>`)}</select></label>
    ${field("type", "Types", "all")}
    ${field("not_type", "Without types", "none")}
    ${field("actor", "Actor", "anyone")}
    ${field("after", "From position", "the end")}
    <label class="check"><input type="checkbox" checked=${values.readings === "true"} onChange=${readings} /> Readings of the audit trail</label>
    <span class="tools"><button type="submit">Apply</button>
      ${isFiltered && html`<a class="button" href=${link("live")}>Remove all</a>`}</span>
  </form>`;
}

/** The app's categories, and the ones of the address that it does not have. */
function choices(chosen) {
  return chosen && !config.categories.includes(chosen) ? [...config.categories, chosen] : config.categories;
}

/** Rows beyond the visible ones, above and below. */
const OVERSCAN = 15;
const MAX_ROWS = 180;

/** A table of which only the visible rows are in the document. All rows have one height. */
function Rows({ events, received, open, onOpen }) {
  const box = useRef(null);
  const seen = useRef(received);
  const [view, setView] = useState({ top: 0, height: 600, row: 30 });
  useEffect(() => {
    const measure = () => {
      const row = parseFloat(getComputedStyle(box.current).getPropertyValue("--row")) || 30;
      setView((before) => ({ ...before, height: box.current.clientHeight, row }));
    };
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  useLayoutEffect(() => {
    // A reader who has scrolled down keeps the same rows before the eyes.
    const added = received - seen.current;
    seen.current = received;
    if (added > 0 && box.current.scrollTop > 0) box.current.scrollTop += added * view.row;
  }, [received]);
  const first = Math.max(0, Math.min(Math.floor(view.top / view.row) - OVERSCAN, events.length - 1));
  const rows = Math.min(Math.ceil(view.height / view.row) + 2 * OVERSCAN, MAX_ROWS, events.length - first);
  const below = events.length - first - rows;
  const scrolled = (event) => {
    const { scrollTop } = event.currentTarget;
    setView((before) => ({ ...before, top: scrollTop }));
  };
  const row = (index) => {
    const event = events[events.length - 1 - index];
    return html`<tr key=${event.number} aria-rowindex=${index + 2} class=${isSame(event, open) ? "open" : ""}>
      <${EventCells} event=${event} onOpen=${onOpen} isOpen=${isSame(event, open)} /></tr>`;
  };
  return html`<div class="rows fixed" ref=${box} onScroll=${scrolled} tabindex="0" role="region" aria-label="Events, newest first">
    <table aria-rowcount=${events.length + 1}>
      <caption class="unseen">Events, newest first</caption>
      <thead><tr aria-rowindex="1">${COLUMNS.map(({ title, kind }) => html`<th scope="col" class=${kind}>${title}</th>`)}</tr></thead>
      <tbody>
        ${first > 0 && html`<${Space} key="above" height=${first * view.row} />`}
        ${Array.from({ length: rows }, (_, index) => row(first + index))}
        ${below > 0 && html`<${Space} key="below" height=${below * view.row} />`}
      </tbody>
    </table>
  </div>`;
}

/** The height of rows that are not in the document. The policy forbids style in markup; the style of an element is allowed. */
function Space({ height }) {
  return html`<tr aria-hidden="true" class="space"><td colspan=${COLUMNS.length} style=${{ height: `${height}px` }}></td></tr>`;
}
