// Addresses of pages: `#/streams/order-1?at=3`. They work as links, and with back and forward.

import { observable } from "./config.js";

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const segments = path.split("/").map(decoded);
  return { page: segments[0], id: segments.slice(1).join("/"), query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = observable(read());
/** Reads the address again: the history changes it without an event. */
export function readAddress() {
  route.set(read());
}
addEventListener("hashchange", readAddress);

/** The address of a page. Empty values of `query` are left out. */
export function link(page, id = "", query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") parameters.set(name, value);
  }
  const path = id === "" ? page : `${page}/${encodeURIComponent(id)}`;
  return `#/${path}${parameters.size ? `?${parameters}` : ""}`;
}

export function go(target) {
  location.hash = target;
}

/** Changes the query of the address without a new entry in the history. */
export function keepInAddress(query) {
  const { page, id } = route.get();
  history.replaceState(null, "", link(page, id, query));
  readAddress();
}
