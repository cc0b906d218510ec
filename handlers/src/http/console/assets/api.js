// Requests to the API. All paths of the machine that the console uses are here.

import { base, described, observable } from "./config.js";
import { session } from "./login.js";

/** Method and path of each operation, as the OpenAPI document has them. */
export const operations = {
  tail: "GET /audit/tail",
  streams: "GET /audit/streams",
  history: "GET /audit/streams/{stream}",
  stateAt: "GET /audit/streams/{stream}/at",
  difference: "GET /audit/streams/{stream}/diff",
  verifyStream: "GET /audit/streams/{stream}/verify",
  verifyAll: "GET /audit/verify",
  trace: "GET /audit/trace/{correlation}",
  projections: "GET /projections",
  projection: "GET /projections/{name}",
  parked: "GET /projections/{name}/parked",
  deadLetters: "GET /projections/{name}/dead",
  rebuild: "POST /projections/{name}/rebuild",
  reconcile: "POST /projections/{name}/reconcile",
  pause: "POST /projections/{name}/pause",
  resume: "POST /projections/{name}/resume",
  cancel: "POST /projections/{name}/cancel",
  switch: "POST /projections/{name}/switch",
  rollback: "POST /projections/{name}/rollback",
  drop: "POST /projections/{name}/drop",
  redrive: "POST /projections/{name}/redrive",
  commandStatus: "GET /commands/{command_id}",
};

/** Whether the last request reached the API. */
export const connection = observable({ online: true });

/** The server's clock at its last answer, in milliseconds: the client's clock may be wrong. */
export let serverTime = null;

/** A request that failed: at the network (status 0), or by an answer of the API. */
export class ApiError extends Error {
  constructor(operation, status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.operation = operation;
    this.status = status;
    this.problem = problem;
    this.scope = problem.scope ?? (status === 403 ? requiredScope(operation) : null);
  }
}

/** The scope that the OpenAPI document names: the gateway's own answers name none. */
export function requiredScope(operation) {
  const [method, path] = operation.split(" ");
  const security = described(method, path)?.security ?? [];
  return security.flatMap((one) => one.token ?? [])[0] ?? null;
}

/** The URL of an operation. `path` fills its parameters; empty values of `query` are left out. */
export function address(template, path = {}, query = {}) {
  const filled = template.replace(/\{([^}]+)\}/g, (_, name) => encodeURIComponent(path[name] ?? ""));
  const url = new URL(filled.replace(/^\//, ""), base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Sends a request and returns status, headers and body, whatever the API answers. */
export async function send(operation, { path, query, headers, body, signal } = {}) {
  const [method, template] = operation.split(" ");
  const sent = { Accept: "application/json", ...headers };
  const { token } = session.get();
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  let response, answer;
  try {
    response = await fetch(address(template, path, query), { method, headers: sent, body: text, signal });
    answer = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    connection.set({ online: false });
    throw new ApiError(operation, 0, { title: "The API does not answer", detail: String(error.message) });
  }
  if (!connection.get().online) connection.set({ online: true });
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (date) serverTime = date;
  if (response.status === 401) session.refuse(token, parsed(answer));
  return { status: response.status, headers: response.headers, body: parsed(answer), text: answer };
}

/** Sends a request and returns the body of a successful answer. */
export async function call(operation, options) {
  const { status, body } = await send(operation, options);
  if (status >= 200 && status < 300) return body;
  // A gateway in front of the API has `{"message": …}` of its own.
  const problem = body && typeof body === "object" ? body : {};
  throw new ApiError(operation, status, { detail: problem.message, ...problem });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text === "" ? null : { detail: text.slice(0, 500) };
  }
}

/** A key for a command. No time is in it, because the client's clock may be wrong. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
