// Parked streams and dead letters: what stands still, why, and the buttons that help.

import { html, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { pollPause } from "./config.js";
import { count, number, visible } from "./format.js";
import { announcement, Badge, Empty, Failure, Id, Json, Loading, Outcome, Section, Table, Time } from "./parts.js";
import { useAction, useResource } from "./resource.js";
import { link } from "./routing.js";

export function Parked({ id }) {
  const { data, error, loading, reload } = useResource((signal) => call(operations.projections, { signal }), [], pollPause());
  const all = data?.projections ?? [];
  const halted = all.filter((one) => one.parked > 0 || one.lag?.dead_letters > 0);
  const shown = id ? all.filter((one) => one.name === id) : halted;
  return html`
    ${id && html`<p><a href=${link("parked")}>All projections</a></p>`}
    <div class="title"><h1>Parked streams and dead letters</h1>
      ${data && html`<span role="status">${halted.length === 0 ? html`<${Badge} kind="good">nothing stands still<//>`
        : html`<${Badge} kind="bad">${count(halted.length, "projection")} to look at<//>`}</span>`}</div>
    <${Failure} error=${error} what="Reading the projections" retry=${reload} />
    ${loading && html`<${Loading} what="projections" />`}
    ${data && id && shown.length === 0 && html`<p class="notice bad" role="alert">There is no projection ${visible(id)}.</p>`}
    ${data && !id && halted.length === 0 && html`<${Empty} title="No stream is parked, and no message is dead">
      A stream is parked when its next event cannot be applied. Other streams go on. To see it, start <code>dev --break READ_MODEL=EVENT_TYPE</code> and send a command.<//>`}
    ${shown.map((one) => html`<${Section} key=${one.name} title=${one.name} tools=${html`<a href=${link("projections", one.name)}>Steps of ${one.name}</a>`}>
      <${Streams} name=${one.name} parked=${one.parked} reloadAll=${reload} />
      <${DeadLetters} name=${one.name} letters=${one.lag?.dead_letters ?? 0} reloadAll=${reload} /><//>`)}`;
}

function Streams({ name, parked, reloadAll }) {
  const page = useResource((signal) => call(operations.parked, { path: { name }, query: { limit: 100 }, signal }), [name, parked]);
  const resume = useAction(async (stream) => {
    const outcome = await resumeAll(name, stream);
    announcement.set(`${name}: ${said(outcome)}`);
    page.reload();
    reloadAll();
    return outcome;
  });
  const streams = page.data?.streams ?? [];
  return html`<h3>Parked streams</h3>
    <${Failure} error=${page.error} what="Reading the parked streams" retry=${page.reload} />
    <${Failure} error=${resume.error} what="Resuming" />
    ${resume.result && html`<${Outcome} kind=${resume.result.parked.length > 0 ? "warn" : "good"}>${said(resume.result)}.
      ${resume.result.parked.length > 0 && html`<ul>${resume.result.parked.slice(0, 10).map((one) => html`<li>${visible(one.stream)}: ${visible(one.reason ?? "still parked")}</li>`)}</ul>`}<//>`}
    ${page.loading && html`<${Loading} what="parked streams" />`}
    ${page.data && streams.length === 0 && html`<p class="muted">None.</p>`}
    ${streams.length > 0 && html`
      <p class="tools"><button type="button" class="primary" disabled=${resume.busy} onClick=${() => resume.run()}>Resume all</button>
        <span class="hint">Repair the cause first, as by a new release: the stream tries its event again.</span></p>
      <${Table} label=${`Parked streams of ${name}`} columns=${["Stream", { title: "Version", kind: "number" }, { title: "Generation", kind: "number" }, "Error", "Parked", "Step"]}>
        ${streams.map((one) => html`<${ParkedStream} key=${`${one.stream}/${one.generation}`} one=${one} resume=${resume} />`)}<//>
      ${page.data.next_cursor && html`<p class="hint">There are more than ${count(streams.length, "stream")}.</p>`}`}`;
}

/** One stream or all. A call works for some seconds, and says where the next one goes on. */
async function resumeAll(name, stream) {
  const outcome = { caught_up: 0, announced: 0, parked: [] };
  let cursor;
  do {
    const answer = await call(operations.resume, { path: { name }, body: { ...(stream && { stream }), ...(cursor && { cursor }) } });
    for (const one of answer.streams) {
      if (one.state === "parked") outcome.parked.push(one);
      else outcome[one.state] = (outcome[one.state] ?? 0) + 1;
    }
    cursor = answer.next_cursor;
  } while (cursor);
  return outcome;
}

function said({ caught_up: caughtUp, announced, parked }) {
  const parts = [
    caughtUp > 0 && `${count(caughtUp, "stream")} caught up`,
    announced > 0 && `${count(announced, "stream")} announced to the process`,
    parked.length > 0 && `${count(parked.length, "stream")} still parked`,
  ];
  return parts.filter(Boolean).join(", ") || "No stream was parked";
}

function ParkedStream({ one, resume }) {
  const [open, setOpen] = useState(false);
  return html`<tr>
      <th scope="row"><${Id} value=${one.stream} length="34" href=${link("streams", one.stream, { at: one.version })} /></th>
      <td class="number">${one.version === null ? "–" : number(one.version)}</td>
      <td class="number">${one.generation}</td>
      <td class="error">${visible(one.error)}</td>
      <td><${Time} at=${one.parked_at} /></td>
      <td class="tools"><button type="button" disabled=${resume.busy} onClick=${() => resume.run(one.stream)} aria-label=${`Resume ${visible(one.stream)}`}>Resume</button>
        ${one.version !== null && html`<button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)} aria-label=${`Event of ${visible(one.stream)}`}>Event</button>`}</td>
    </tr>
    ${open && html`<tr><td colspan="6"><${ParkedEvent} stream=${one.stream} version=${one.version} /></td></tr>`}`;
}

function ParkedEvent({ stream, version }) {
  const query = { from: version, to: version };
  const event = useResource((signal) => call(operations.history, { path: { stream }, query, signal }), [stream, version]);
  if (event.loading) return html`<${Loading} what="the event" />`;
  if (event.error) return html`<${Failure} error=${event.error} what="Reading the event" retry=${event.reload} />`;
  const [found] = event.data.events;
  return html`<p>${visible(found?.type ?? "No event")}, recorded <${Time} at=${found?.recorded_at} /> by ${visible(found?.actor ?? "–")}</p>
    <${Json} value=${found?.data} label="Data of the parked event" />`;
}

const SAMPLE = 20;

function DeadLetters({ name, letters, reloadAll }) {
  const sample = useAction(() => call(operations.deadLetters, { path: { name }, query: { limit: SAMPLE } }));
  const redrive = useAction(async () => {
    const total = { sent: 0, stays: [], left: 0 };
    let answer;
    do {
      answer = await call(operations.redrive, { path: { name }, body: {} });
      total.sent += answer.sent;
      [total.stays, total.left] = [answer.stays, answer.left];
    } while (answer.more && answer.sent > 0);
    sample.clear();
    reloadAll();
    return total;
  });
  return html`<h3>Dead letters</h3>
    <p class="tools">${letters === 0 ? html`<span class="muted">About none.</span>` : html`<${Badge} kind="bad">about ${count(letters, "message")}<//>`}
      <button type="button" disabled=${sample.busy} onClick=${() => sample.run()}>Look at a sample</button>
      <button type="button" class=${letters > 0 ? "primary" : ""} disabled=${redrive.busy} onClick=${() => redrive.run()}>Redrive</button>
      <span class="hint">Redrive moves all messages back to the queue.</span></p>
    <${Failure} error=${sample.error} what="Reading dead letters" retry=${() => sample.run()} />
    <${Failure} error=${redrive.error} what="The redrive" retry=${() => redrive.run()} />
    ${redrive.result && html`<${Outcome}>${count(redrive.result.sent, "message")} moved, about ${number(redrive.result.left)} left.
      ${redrive.result.stays.length > 0 && html`<ul>${redrive.result.stays.map((one) => html`<li>${visible(one.group)}: ${visible(one.reason)}</li>`)}</ul>`}<//>`}
    ${sample.result && html`<${Letters} found=${sample.result} />`}`;
}

function Letters({ found }) {
  if (found.messages.length === 0) return html`<p class="muted">The sample is empty. The queue has about ${number(found.in_queue)}.</p>`;
  return html`<${Table} label="A sample of dead letters" columns=${["Message", "Stream", { title: "Version", kind: "number" }, { title: "Receives", kind: "number" }, "Sent", "Body"]}>
    ${found.messages.map((one) => html`<tr key=${one.message_id}>
      <th scope="row"><${Id} value=${one.message_id} length="16" /></th>
      <td><${Id} value=${one.stream} length="30" href=${one.stream ? link("streams", one.stream, { at: one.version }) : undefined} /></td>
      <td class="number">${one.version ?? "–"}</td><td class="number">${one.receives}</td><td><${Time} at=${one.sent_at} /></td>
      <td><details><summary>Body</summary><${Json} value=${bodyOf(one.body)} label="Body of the message" /></details></td></tr>`)}<//>`;
}

/** A body is mostly JSON. Any other text is shown as it is. */
function bodyOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
