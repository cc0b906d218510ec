// One operation of the API: its form, its request, and its answer.

import { html, useEffect, useState } from "./preact-htm.js";
import { call, newKey, operations, send } from "./api.js";
import { openapi, pollPause } from "./config.js";
import { visible } from "./format.js";
import { Field, hasForm, JsonField, resolved } from "./form.js";
import { Badge, Dialog, Failure, Id, Json, sentence } from "./parts.js";
import { pause, useAction } from "./resource.js";
import { link } from "./routing.js";

const KEY = "Idempotency-Key";

export function isStep({ method, path }) {
  return method === "POST" && path.startsWith("/projections/");
}

export function isCommand(one) {
  return one.method === "POST" && !isStep(one);
}

/** The body that the document shows: of the operation, or of its schema. */
function exampleOf(content, schema) {
  return content?.example ?? Object.values(content?.examples ?? {})[0]?.value ?? resolved(schema).example ?? {};
}

export function Operation({ one }) {
  const { method, path, about } = one;
  const parameters = about.parameters ?? [];
  const content = about.requestBody?.content?.["application/json"];
  const [values, setValues] = useState(() => firstValues(parameters));
  const [body, setBody] = useState(() => content && exampleOf(content, content.schema));
  const [text, setText] = useState(null);
  const [asked, setAsked] = useState(false);
  const request = useAction(() => sendOperation(one, parameters, values, content && (text ?? body)));
  const set = (name) => (value) => setValues({ ...values, [name]: value });
  const hasFields = content && hasForm(content.schema);
  const submit = (event) => {
    event.preventDefault();
    if (isStep(one)) setAsked(true);
    else request.run();
  };
  const again = request.result && isCommand(one) && values[KEY];
  const editAsJson = (event) => setText(event.currentTarget.checked ? JSON.stringify(body, null, 2) : null);
  return html`
    <form class="stack" onSubmit=${submit} noValidate>
      <${Parameters} parameters=${parameters} values=${values} set=${set} />
      ${content && html`<fieldset><legend>Body</legend>
        ${hasFields && html`<label class="check"><input type="checkbox" checked=${text !== null} onChange=${editAsJson} /> Edit as JSON</label>`}
        ${hasFields && text === null ? html`<${Field} id="body" schema=${content.schema} value=${body} required onChange=${setBody} />`
          : html`<${JsonField} id="body-json" label="Body as JSON" text=${text ?? JSON.stringify(body, null, 2)} onChange=${setText} />`}</fieldset>`}
      <div class="tools">
        <button type="submit" class="primary" disabled=${request.busy}>${again ? "Send again" : "Send"}</button>
        ${again && html`<button type="button" onClick=${() => set(KEY)(newKey())}>New key</button>
          <span class="hint">The same key and body: the API returns the first answer.</span>`}
      </div>
    </form>
    <${Failure} error=${request.error} what=${`${method} ${path}`} retry=${() => request.run()} />
    ${request.result && html`<${Answer} answer=${request.result} one=${one} />`}
    ${asked && html`<${Dialog} title="Send this step?" onClose=${() => setAsked(false)}>
      <p>${sentence(about.summary)} The page Projections has the same step, and says when it is possible.</p>
      <div class="tools"><button type="button" class="danger" onClick=${() => { setAsked(false); request.run(); }}>Send</button>
        <button type="button" onClick=${() => setAsked(false)}>Keep</button></div><//>`}`;
}

function firstValues(parameters) {
  const values = parameters.map(({ name, in: place, example, schema }) => [name,
    name === KEY ? newKey() : place === "path" ? example ?? schema?.example ?? resolved(schema).examples?.[0] ?? schema?.enum?.[0] : undefined]);
  return Object.fromEntries(values);
}

const PLACES = { path: "Path", query: "Query", header: "Headers" };

function Parameters({ parameters, values, set }) {
  return Object.entries(PLACES).map(([place, title]) => {
    const found = parameters.filter((one) => one.in === place);
    if (found.length === 0) return null;
    const field = (one) => html`<${Field} key=${one.name} name=${one.name}
      id=${`${place}.${one.name}`} schema=${{ ...one.schema, description: one.description }} value=${values[one.name]}
      required=${one.required === true} onChange=${set(one.name)} />`;
    const fields = html`<fieldset key=${place}><legend>${title}</legend>${found.filter(({ name }) => name !== KEY).map(field)}</fieldset>`;
    if (place !== "header") return fields;
    // The key is always wanted, and the other headers seldom.
    return html`${found.filter(({ name }) => name === KEY).map(field)}<details><summary>Other headers</summary>${fields}</details>`;
  });
}

/** Sends it and returns whatever was answered, with the time that it took. */
async function sendOperation({ method, path }, parameters, values, body) {
  const placed = (place) => Object.fromEntries(parameters.filter((one) => one.in === place && values[one.name] !== undefined)
    .map((one) => [one.name, String(values[one.name])]));
  const begun = performance.now();
  const answer = await send(`${method} ${path}`, { path: placed("path"), query: placed("query"), headers: placed("header"), body });
  return { ...answer, ms: Math.round(performance.now() - begun), number: begun };
}

const SHOWN_HEADERS = ["ETag", "Location", "Idempotency-Replayed", "Preference-Applied", "Retry-After", "X-Correlation-Id"];

function Answer({ answer, one }) {
  const { status, headers, body, ms } = answer;
  const isGood = status < 300;
  const isReplay = headers.get("Idempotency-Replayed") === "true";
  const shown = SHOWN_HEADERS.filter((name) => headers.get(name));
  return html`<section class="answer" aria-labelledby="answer" role="status">
    <h3 id="answer">Answer</h3>
    <p class="tools"><${Badge} kind=${isGood ? "good" : "bad"}>${status} ${isGood ? meaning(status) : body?.title ?? ""}<//>
      ${isReplay && html`<${Badge} kind="plain">replay: the first answer, nothing new was written<//>`}
      <span class="muted">${ms} ms</span></p>
    ${!isGood && body?.code && html`<p><strong>${visible(body.code)}</strong>: ${visible(body.reason ?? body.detail ?? "")}</p>`}
    ${status === 403 && body?.scope && html`<p>Your token lacks the scope <code>${body.scope}</code>.</p>`}
    ${body?.stream && isGood && html`<p>Stream <${Id} value=${body.stream} length="48" href=${link("streams", body.stream)} />, <a href=${link("trace", body.correlation_id)}>tree of causes</a></p>`}
    ${shown.length > 0 && html`<dl class="facts">${shown.map((name) => html`<div><dt>${name}</dt><dd>${visible(headers.get(name))}</dd></div>`)}</dl>`}
    ${body !== null && html`<${Json} value=${body} label="Body of the answer" />`}
    ${status === 202 && isCommand(one) && html`<${Later} key=${answer.number} id=${body.command_id} />`}
  </section>`;
}

function meaning(status) {
  return { 200: "done", 201: "created", 202: "accepted" }[status] ?? "";
}

/** The status of a command that is answered later. */
function Later({ id }) {
  const [state, setState] = useState({ status: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    (async () => {
      let status = null;
      while (!abort.signal.aborted && (status === null || status.status === "pending")) {
        try {
          status = await call(operations.commandStatus, { path: { command_id: id }, signal: abort.signal });
          setState({ status, error: null });
        } catch (error) {
          if (!abort.signal.aborted) setState({ status, error });
          return;
        }
        await pause(pollPause() / 4, abort.signal);
      }
    })();
    return () => abort.abort();
  }, [id]);
  const kind = { pending: "busy", done: "good", refused: "bad", failed: "bad" }[state.status?.status] ?? "busy";
  return html`<div role="status"><h3>Status of the command</h3>
    <${Failure} error=${state.error} what="Reading the status" />
    <p><${Badge} kind=${kind}>${state.status?.status ?? "asking"}<//></p>
    ${state.status && state.status.status !== "pending" && html`<${Json} value=${state.status} label="Status of the command" />`}</div>`;
}

/** What the document says about answers. */
export function Responses({ about }) {
  const rows = Object.entries(about.responses ?? {}).map(([status, response]) => {
    const found = response.$ref ? openapi.components.responses[response.$ref.split("/").at(-1)] : response;
    const [type, content] = Object.entries(found.content ?? {})[0] ?? [];
    return { status, description: found.description, type, schema: content?.schema?.$ref?.split("/").at(-1) };
  });
  return rows;
}
