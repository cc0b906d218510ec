// Forms for JSON, made from its schema. What a form cannot express is edited as JSON.

import { html, useState } from "./preact-htm.js";
import { openapi } from "./config.js";
import { Prose } from "./parts.js";

/** The schema with its reference followed. */
export function resolved(schema = {}) {
  let found = schema;
  for (let depth = 0; found.$ref && depth < 10; depth++) {
    found = { ...openapi.components.schemas[found.$ref.split("/").at(-1)], ...omit(found, "$ref") };
  }
  const branches = (found.oneOf ?? found.anyOf)?.filter((one) => one.type !== "null");
  return branches?.length === 1 ? { ...resolved(branches[0]), nullable: true } : found;
}

function omit(object, name) {
  const { [name]: _, ...rest } = object;
  return rest;
}

/** The type of a schema without null; none if there are several. */
export function typeOf(schema) {
  const types = [schema.type ?? (schema.properties ? "object" : undefined)].flat().filter((one) => one !== "null");
  return types.length === 1 ? types[0] : undefined;
}

/** Whether a form can show a schema. */
export function hasForm(schema, depth = 0) {
  const found = resolved(schema);
  const type = typeOf(found);
  if (depth > 5 || found.oneOf || found.anyOf || found.allOf) return false;
  if (type === "object") return Object.values(found.properties ?? {}).every((one) => hasForm(one, depth + 1)) && found.properties !== undefined;
  if (type === "array") return found.items !== undefined && hasForm(found.items, depth + 1);
  return found.enum !== undefined || ["string", "integer", "number", "boolean"].includes(type);
}

/** A first value for a new item of a list. */
function emptyOf(schema) {
  const found = resolved(schema);
  const type = typeOf(found);
  if (type === "object") {
    const required = Object.entries(found.properties ?? {}).filter(([name]) => found.required?.includes(name));
    return Object.fromEntries(required.map(([name, one]) => [name, emptyOf(one)]));
  }
  return { array: [], boolean: false, integer: found.minimum ?? 0, number: found.minimum ?? 0 }[type] ?? found.enum?.[0] ?? "";
}

/** The fields of a value. `onChange` gets the whole value, or `undefined` for a field left out. */
export function Field({ name, id, schema, value, required, onChange }) {
  const found = resolved(schema);
  const type = typeOf(found);
  if (type === "object") return html`<${ObjectField} ...${{ name, id, schema: found, value, required, onChange }} />`;
  if (type === "array") return html`<${ListField} ...${{ name, id, schema: found, value, onChange }} />`;
  const hint = found.description && html`<p class="hint" id=${`${id}-hint`}><${Prose} text=${found.description} /></p>`;
  return html`<div class="field">
    <label for=${id}>${name}${required ? "" : html`<span class="muted"> optional</span>`}</label>
    <${Input} ...${{ id, schema: found, type, value, required, onChange, hint: Boolean(hint) }} />${hint}</div>`;
}

function Input({ id, schema, type, value, required, onChange, hint }) {
  const described = hint ? `${id}-hint` : undefined;
  const change = (event) => {
    const text = event.currentTarget.value;
    if (text === "" && !required) return onChange(undefined);
    const isNumber = (type === "integer" || type === "number") && text.trim() !== "" && Number.isFinite(Number(text));
    return onChange(isNumber ? Number(text) : text);
  };
  if (type === "boolean") {
    return html`<input type="checkbox" id=${id} aria-describedby=${described} checked=${value === true}
      onChange=${(event) => onChange(event.currentTarget.checked)} />`;
  }
  if (schema.enum) {
    return html`<select id=${id} aria-describedby=${described} value=${value ?? ""} onChange=${change}>
      ${(!required || value === undefined) && html`<option value=""></option>`}
      ${schema.enum.filter((one) => one !== null).map((one) => html`<option value=${one}>${one}</option>`)}</select>`;
  }
  const mode = type === "integer" || type === "number" ? "numeric" : undefined;
  return html`<input id=${id} aria-describedby=${described} inputmode=${mode} value=${value ?? ""} onInput=${change}
    required=${required} autocomplete="off" spellcheck="false" />`;
}

function ObjectField({ name, id, schema, value = {}, onChange }) {
  const fields = Object.entries(schema.properties ?? {}).map(([field, one]) => html`<${Field} key=${field} name=${field} id=${`${id}.${field}`}
    schema=${one} value=${value?.[field]} required=${schema.required?.includes(field) ?? false}
    onChange=${(changed) => onChange(changed === undefined ? omit(value ?? {}, field) : { ...value, [field]: changed })} />`);
  return name ? html`<fieldset><legend>${name}</legend>${fields}</fieldset>` : html`<div class="stack">${fields}</div>`;
}

function ListField({ name, id, schema, value, onChange }) {
  const items = Array.isArray(value) ? value : [];
  const replace = (index, changed) => onChange(items.map((item, at) => (at === index ? changed : item)));
  return html`<fieldset><legend>${name}</legend>
    ${items.map((item, index) => html`<div class="item" key=${index}>
      <${Field} name=${`${name} ${index + 1}`} id=${`${id}.${index}`} schema=${schema.items} value=${item} required=${true}
        onChange=${(changed) => replace(index, changed)} />
      <button type="button" onClick=${() => onChange(items.filter((_, at) => at !== index))} aria-label=${`Remove ${name} ${index + 1}`}>Remove</button>
    </div>`)}
    <button type="button" onClick=${() => onChange([...items, emptyOf(schema.items)])}>Add to ${name}</button></fieldset>`;
}

/** Any JSON as text. `onChange` gets the text: the API says what is wrong with it. */
export function JsonField({ id, label, text, onChange }) {
  const [local, setLocal] = useState(text);
  const change = (event) => {
    setLocal(event.currentTarget.value);
    onChange(event.currentTarget.value);
  };
  let fault = null;
  try {
    if (local.trim() !== "") JSON.parse(local);
  } catch (error) {
    fault = error.message;
  }
  return html`<div class="field"><label for=${id}>${label}</label>
    <textarea id=${id} rows=${Math.min(20, Math.max(4, local.split("\n").length))} spellcheck="false" value=${local} onInput=${change}
      aria-invalid=${fault !== null} aria-describedby=${`${id}-fault`}></textarea>
    <p class="hint" id=${`${id}-fault`}>${fault ? `This is not JSON yet: ${fault}` : "JSON, as it is sent."}</p></div>`;
}
