// Overview: whether anything stands still, what happens now, and a first command to send.

import { html, useState } from "./preact-htm.js";
import { call, newKey, operations } from "./api.js";
import { config, openapi, pollPause } from "./config.js";
import { count, duration, number, rate } from "./format.js";
import { COLUMNS, EventCells, EventDetail, isSame } from "./events.js";
import { Badge, Empty, Failure, Id, Loading, Outcome, Section, Table, Tile } from "./parts.js";
import { useAction, useResource } from "./resource.js";
import { link } from "./routing.js";
import { healthOf, JobBar, useAnnouncedHealth } from "./steps.js";
import { commitRate, useTail } from "./tail.js";

const SHOWN_EVENTS = 20;

export function Overview() {
  const status = useResource((signal) => call(operations.projections, { signal }), [], pollPause());
  const tail = useTail({ last: 200 }, {});
  return html`
    <div class="title"><h1>Overview</h1><${Sample} /></div>
    <${Figures} projections=${status.data?.projections} tail=${tail} />
    <${Consumers} status=${status} />
    <${Newest} tail=${tail} />`;
}

function Figures({ projections, tail }) {
  const sum = (field) => projections.reduce((sum, one) => sum + (field(one) ?? 0), 0);
  const perSecond = commitRate(tail.buffer);
  const behind = projections?.filter((one) => healthOf(one).kind !== "good").length ?? 0;
  const parked = projections ? sum((one) => one.parked) : 0;
  const dead = projections ? sum((one) => one.lag?.dead_letters) : 0;
  const jobs = projections?.filter((one) => one.job).length ?? 0;
  return html`<dl class="tiles">
    <${Tile} name="Commits a second" value=${perSecond === null ? "–" : rate(perSecond)} note="over the last minute" />
    <${Tile} name="Commits in the journal" value=${tail.buffer.end === null ? "–" : number(tail.buffer.end)} href=${link("live")} />
    ${projections && html`
      <${Tile} name="Up to date" kind=${behind ? "warn" : "good"} value=${`${projections.length - behind} of ${projections.length}`} note="consumers" href=${link("projections")} />
      <${Tile} name="Parked streams" kind=${parked ? "bad" : "good"} value=${number(parked)} href=${link("parked")} />
      <${Tile} name="Dead letters" kind=${dead ? "bad" : "good"} value=${number(dead)} href=${link("parked")} />
      <${Tile} name="Jobs" kind=${jobs ? "busy" : "plain"} value=${number(jobs)} note="rebuild, reconcile, remove" href=${link("projections")} />`}
  </dl>`;
}

function Consumers({ status }) {
  const { data, error, loading, reload } = status;
  useAnnouncedHealth(data?.projections);
  return html`<${Section} title="Consumers">
    <${Failure} error=${error} what="Reading the consumers" retry=${reload} />
    ${loading && html`<${Loading} what="consumers" />`}
    ${data && html`<${Table} label="Consumers: how far behind each is, and what stands still"
      columns=${["Name", "State", { title: "Waiting", kind: "number" }, { title: "Behind", kind: "number" },
        { title: "Parked", kind: "number" }, { title: "Dead letters", kind: "number" }, "Job"]}>
      ${data.projections.map((one) => html`<${Consumer} key=${one.name} one=${one} />`)}<//>`}<//>`;
}

function Consumer({ one }) {
  const health = healthOf(one);
  const { lag, parked } = one;
  return html`<tr>
    <th scope="row"><a href=${link("projections", one.name)}>${one.name}</a>
      <span class="muted"> ${one.read_model ? "read model" : "process"}</span></th>
    <td><${Badge} kind=${health.kind}>${health.text}<//></td>
    <td class="number">${lag ? number(lag.messages) : "–"}</td>
    <td class="number">${typeof lag?.seconds === "number" ? duration(lag.seconds) : "–"}</td>
    <td class="number">${parked > 0 ? html`<a href=${link("parked", one.name)}>${number(parked)}</a>` : "0"}</td>
    <td class="number">${lag?.dead_letters > 0 ? html`<a href=${link("parked", one.name)}>${number(lag.dead_letters)}</a>` : lag ? "0" : "–"}</td>
    <td>${one.job ? html`<${JobBar} job=${one.job} />` : html`<span class="muted">none</span>`}</td>
  </tr>`;
}

function Newest({ tail }) {
  const [open, setOpen] = useState(null);
  const { buffer, state, error, retry } = tail;
  const newest = buffer.events.slice(-SHOWN_EVENTS).reverse();
  const tools = html`<a class="button" href=${link("live")}>Follow live</a>`;
  return html`<${Section} title="Last events" tools=${tools}>
    ${state !== "live" && html`<${Failure} error=${error} what="Reading the last events" retry=${retry} />`}
    ${state === "connecting" && newest.length === 0 && html`<${Loading} what="events" />`}
    ${state === "live" && newest.length === 0 && html`<${Empty} title="Nothing has happened yet">
      Send the sample command above, or <a href=${link("commands")}>choose a command</a>.<//>`}
    ${newest.length > 0 && html`<div class="fixed"><${Table} label="The last 20 events, newest first" columns=${COLUMNS}>
      ${newest.map((event) => html`<tr key=${event.number}>
        <${EventCells} event=${event} onOpen=${setOpen} isOpen=${isSame(event, open)} /></tr>`)}<//></div>`}
    ${open && html`<${EventDetail} event=${open} onClose=${() => setOpen(null)} />`}<//>`;
}

/** The command that the app names as an example. */
function Sample() {
  const send = useAction(() => call(`POST ${config.sample.path}`, {
    body: config.sample.body, headers: { "Idempotency-Key": newKey() },
  }));
  if (!config.sample) return null;
  const { result, error } = send;
  return html`<div class="sample">
    <button class="primary" type="button" disabled=${send.busy} onClick=${() => send.run()}>Send a sample command</button>
    <span class="hint">${sampleName()}</span>
    ${result && html`<${Outcome}>Recorded: ${count(result.events?.length ?? 0, "event")} in <${Id} value=${result.stream} href=${link("streams", result.stream)} />. See its <a href=${link("trace", result.correlation_id)}>tree of causes</a>.<//>`}
    <${Failure} error=${error} what="The sample command" retry=${() => send.run()} />
  </div>`;
}

/** What the sample does, in the words of the OpenAPI document. */
function sampleName() {
  const { path } = config.sample;
  const fits = (template) => new RegExp(`^${template.replace(/\{[^}]+\}/g, "[^/]+")}$`).test(path);
  const found = Object.keys(openapi.paths).find((template) => template === path)
    ?? Object.keys(openapi.paths).find((template) => openapi.paths[template].post && fits(template));
  return openapi.paths[found]?.post?.summary ?? `POST ${path}`;
}
