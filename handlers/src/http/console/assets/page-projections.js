// Projections: their generations, the progress of a job, and the steps of an operator.

import { html, useEffect, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { pollPause } from "./config.js";
import { count, duration, number } from "./format.js";
import { announcement, Badge, Dialog, Failure, Loading, Outcome, Section, Table, Time } from "./parts.js";
import { useAction, useResource } from "./resource.js";
import { link } from "./routing.js";
import { healthOf, JobBar, STEPS, useAnnouncedHealth } from "./steps.js";

export function Projections({ id }) {
  return id ? html`<${One} name=${id} />` : html`<${All} />`;
}

function All() {
  const { data, error, loading, reload } = useResource((signal) => call(operations.projections, { signal }), [], pollPause());
  useAnnouncedHealth(data?.projections);
  return html`<h1>Projections</h1>
    <${Failure} error=${error} what="Reading the projections" retry=${reload} />
    ${loading && html`<${Loading} what="projections" />`}
    ${data && html`<${Section} title="Read models and processes">
      <${Table} label="Projections" columns=${["Name", "State", { title: "Active", kind: "number" }, "Standby", "Shape", { title: "Waiting", kind: "number" }, "Job"]}>
        ${data.projections.map((one) => html`<tr key=${one.name}>
          <th scope="row"><a href=${link("projections", one.name)}>${one.name}</a> <span class="muted">${one.read_model ? "read model" : "process"}</span></th>
          <td><${Badge} kind=${healthOf(one).kind}>${healthOf(one).text}<//></td>
          <td class="number">${one.active}</td>
          <td>${one.other ? `${one.other.number}, ${one.other.state}` : html`<span class="muted">none</span>`}</td>
          <td>${one.shape}</td>
          <td class="number">${one.lag ? number(one.lag.messages) : "–"}</td>
          <td>${one.job ? html`<${JobBar} job=${one.job} />` : html`<span class="muted">none</span>`}</td></tr>`)}<//>
      <p class="hint">Choose a projection to rebuild, switch, roll back or drop.</p><//>`}`;
}

function One({ name }) {
  const [runs, setRuns] = useState(false);
  const status = useResource((signal) => call(operations.projection, { path: { name }, signal }), [name], runs ? pollPause() / 2 : pollPause());
  const one = status.data;
  const health = one && healthOf(one);
  useEffect(() => setRuns(Boolean(one?.job)), [one?.job]);
  return html`
    <p><a href=${link("projections")}>All projections</a></p>
    <div class="title"><h1>${name}</h1>${health && html`<span role="status"><${Badge} kind=${health.kind}>${health.text}<//></span>`}
      ${one?.parked > 0 && html`<a class="button" href=${link("parked", name)}>Parked streams</a>`}</div>
    ${status.loading && html`<${Loading} what="the projection" />`}
    <${Failure} error=${status.error} what="Reading the projection" retry=${status.reload} />
    ${one && html`
      <${Generations} one=${one} />
      ${one.job && html`<${Section} title="Job"><${JobBar} job=${one.job} long />
        <p class="hint">Job ${one.job.number} began <${Time} at=${one.job.started_at} />.</p><//>`}
      <${Steps} one=${one} replace=${status.replace} reload=${status.reload} />
      ${one.report && html`<${Report} report=${one.report} />`}`}`;
}

function Generations({ one }) {
  const { active, other, shape, active_shape: activeShape, other_shape: otherShape, lag } = one;
  const differs = activeShape && activeShape !== shape;
  return html`<${Section} title="Generations">
    <${Table} label="Active and standby generation" columns=${["Generation", "State", "Shape of its rows"]}>
      <tr><th scope="row">${active}</th><td><${Badge} kind="good">active: it is read<//></td><td>${activeShape ?? html`<span class="muted">nothing written yet</span>`}</td></tr>
      ${other && html`<tr><th scope="row">${other.number}</th><td><${Badge} kind=${other.state === "incomplete" ? "warn" : "plain"}>standby: ${other.state}<//></td>
        <td>${otherShape ?? html`<span class="muted">nothing written yet</span>`}</td></tr>`}<//>
    ${differs && html`<p class="notice warn">This program writes rows of the shape ${shape}. The active generation has ${activeShape} and falls behind: rebuild, then switch.</p>`}
    <p class="hint">${lag ? html`${count(lag.messages, "message")} waiting${typeof lag.seconds === "number" ? `, the newest applied event is ${duration(lag.seconds)} old` : ""}, ${count(lag.dead_letters, "dead letter")}.`
      : "The queues could not be counted."} This program writes the shape ${shape}.</p><//>`;
}

function Steps({ one, replace, reload }) {
  const [asked, setAsked] = useState(null);
  const step = useAction(async ({ operation, body, title }, extra) => {
    const view = await call(operation, { path: { name: one.name }, body: { ...body, ...extra } });
    announcement.set(`${title} of ${one.name}: accepted`);
    if (view?.name === one.name) replace(view);
    reload();
    return title;
  });
  const begin = (chosen) => (chosen.danger ? setAsked(chosen) : step.run(chosen));
  const confirm = (extra) => {
    setAsked(null);
    step.run(asked, extra);
  };
  const refused = STEPS.find(({ operation }) => operation === step.error?.operation);
  const accepted = step.error?.message?.startsWith("positions change") ? { accept_new_positions: true }
    : refused?.name === "switch" && one.other?.state === "incomplete" ? { accept_incomplete: true } : null;
  return html`<${Section} title="Steps">
    <${Failure} error=${step.error} what="The step" />
    ${accepted && html`<p><button type="button" class="danger" onClick=${() => step.run(refused, accepted)}>${
      refused.title} and ${Object.keys(accepted)[0].replaceAll("_", " ")}</button></p>`}
    ${step.result && html`<${Outcome}>${step.result}: accepted.<//>`}
    <ul class="steps">${STEPS.map((one_) => html`<${Step} key=${one_.name} step=${one_} refusal=${one_.refusal(one)} busy=${step.busy} begin=${begin} />`)}</ul>
    ${asked && html`<${Confirm} step=${asked} one=${one} onConfirm=${confirm} onClose=${() => setAsked(null)} />`}<//>`;
}

/** A step that is refused can still be reached by keyboard, so that its reason is read. */
function Step({ step, refusal, busy, begin }) {
  const id = `why-${step.name}`;
  return html`<li>
    <button type="button" class=${step.danger ? "danger" : ""} aria-disabled=${refusal !== null || busy} aria-describedby=${id}
      onClick=${() => refusal === null && !busy && begin(step)}>${step.title}</button>
    <span id=${id}>${refusal === null ? step.does : html`<span class="muted">${refusal}</span>`}</span>
  </li>`;
}

function Confirm({ step, one, onConfirm, onClose }) {
  const [text, setText] = useState("");
  const isDrop = step.name === "drop";
  const extra = isDrop && one.other ? { generation: one.other.number } : {};
  const submit = (event) => {
    event.preventDefault();
    if (!isDrop || text === one.name) onConfirm(extra);
  };
  return html`<${Dialog} title=${isDrop ? `Drop generation ${one.other?.number} of ${one.name}?` : `${step.title} the ${one.job?.kind} of ${one.name}?`} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <p>${step.does}</p>
      ${isDrop && html`<label>Enter the name <strong>${one.name}</strong> to confirm
        <input value=${text} onInput=${(event) => setText(event.currentTarget.value)} autocomplete="off" spellcheck=${false} autofocus /></label>`}
      <div class="tools"><button type="submit" class="danger" disabled=${isDrop && text !== one.name}>${step.title}</button>
        <button type="button" onClick=${onClose}>Keep</button></div>
    </form><//>`;
}

function Report({ report }) {
  const { first_pass: first, last_pass: last } = report;
  const row = (name, field) => html`<tr><th scope="row">${name}</th><td class="number">${number(first[field])}</td><td class="number">${number(last[field])}</td></tr>`;
  const strays = last.strays ?? [];
  return html`<${Section} title="Last job">
    <p><${Badge} kind=${report.complete ? "good" : "warn"}>${report.complete ? "complete" : "incomplete"}<//> Job ${report.job}: ${report.kind}${
      report.generation === null ? "" : ` of generation ${report.generation}`}, ${count(report.passes, "pass", "passes")}, ended <${Time} at=${report.ended_at} />.</p>
    <${Table} label="Counts of the first and the last pass" columns=${["Count", { title: "First pass", kind: "number" }, { title: "Last pass", kind: "number" }]}>
      ${row("Streams", "streams")}${row("Commits", "commits")}${row("Events", "events")}${row("Streams behind", "behind")}
      ${row("Streams parked", "parked")}${row("Rows removed", "removed")}${row("Items that cannot be read", "damaged")}${row("Streams ahead of the store", "ahead")}<//>
    ${strays.length + last.damages.length > 0 && html`<ul>${[...strays, ...last.damages].map((one) => html`<li>${one}</li>`)}</ul>`}<//>`;
}
