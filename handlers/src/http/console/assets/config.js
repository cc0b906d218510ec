// What the console knows before it asks for data: where the API is, and what the app is called.

import { useEffect, useState } from "./preact-htm.js";

/** The address of the API. The console is served one level below it. */
export const base = new URL("../", new URL(location.pathname, location.origin));

/** A value that components can watch. */
export function observable(value) {
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const watcher of watchers) watcher(next);
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

export function useObservable(source) {
  const [value, setValue] = useState(source.get());
  useEffect(() => {
    setValue(source.get());
    return source.watch(setValue);
  }, [source]);
  return value;
}

/** `config.json`, and the OpenAPI document of the app. Both are set before the first page. */
export let config = null;
export let openapi = null;

async function json(path) {
  const response = await fetch(new URL(path, base), { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path} was answered with status ${response.status}`);
  return response.json();
}

export async function loadConfig() {
  [config, openapi] = await Promise.all([json("console/config.json"), json("openapi.json")]);
  document.title = `${config.title} console`;
}

/** The operation of a method and path in the OpenAPI document, if the server has it. */
export function described(method, path) {
  return openapi.paths[path]?.[method.toLowerCase()];
}

/** Whether live pages wait at the server for new events. Otherwise they ask every few seconds. */
export function waits() {
  return config.wait > 0;
}

/** The pause between two requests for the same data, in milliseconds. */
export function pollPause() {
  return waits() ? 2000 : 5000;
}
