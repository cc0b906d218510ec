// Follows the journal: all events from a position, in the order of their commits.

import { useEffect, useRef, useState } from "./preact-htm.js";
import { call, operations, serverTime } from "./api.js";
import { config, pollPause, waits } from "./config.js";
import { preview } from "./format.js";
import { pause, whenVisible } from "./resource.js";

/** The most events that a page holds, and the most characters of their data. */
export const MAX_EVENTS = 10000;
const MAX_CHARACTERS = 32 * 1024 * 1024;
/** The most commits of one answer. */
const PAGE = 500;
const MAX_BACKOFF_MS = 10000;
/** Answers that come sooner, and have nothing, are not followed by the next request at once. */
const MIN_ROUND_MS = 300;

/** Events, oldest first, up to the limits. It changes in place; `received` grows with each. */
class Buffer {
  constructor() {
    this.events = [];
    this.characters = 0;
    this.received = 0;
    this.damaged = [];
    this.next = null;
    this.end = null;
  }

  add(page) {
    for (const event of page.events) {
      const size = JSON.stringify(event.data)?.length ?? 0;
      this.events.push({ ...event, size, preview: preview(event.data), number: ++this.received });
      this.characters += size;
    }
    let surplus = 0;
    while (this.events.length - surplus > MAX_EVENTS || (this.characters > MAX_CHARACTERS && surplus < this.events.length - 1)) {
      this.characters -= this.events[surplus++].size;
    }
    if (surplus > 0) this.events.splice(0, surplus);
    this.damaged = [...this.damaged, ...(page.damaged ?? [])].slice(-100);
    [this.next, this.end] = [page.next, page.end];
  }
}

/**
 * The events from `from` (`{ last }` or `{ after }`) on that fit the filter.
 *
 * `state` is `connecting`, `live`, `retrying` (with `error`) or `stopped` (with `error`, which the
 * same request would have again).
 */
export function useTail(from, filter) {
  const key = JSON.stringify([from, filter]);
  const buffer = useRef(null);
  const keyOfBuffer = useRef(null);
  if (keyOfBuffer.current !== key) [buffer.current, keyOfBuffer.current] = [new Buffer(), key];
  const [, redraw] = useState(0);
  const [status, setStatus] = useState({ key, state: "connecting", error: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const report = (state, error = null) => setStatus((before) =>
      before.key === key && before.state === state && before.error === error ? before : { key, state, error });
    const take = (page) => {
      buffer.current.add(page);
      report("live");
      redraw((before) => before + 1);
    };
    report("connecting");
    follow({ from, filter, buffer: buffer.current, signal: abort.signal, take, report });
    return () => abort.abort();
  }, [key, attempt]);
  const current = status.key === key ? status : { state: "connecting", error: null };
  return { buffer: buffer.current, ...current, retry: () => setAttempt((before) => before + 1) };
}

async function follow({ from, filter, buffer, signal, take, report }) {
  let backoff = 1000;
  let failed = false;
  while (!signal.aborted) {
    await whenVisible(signal);
    if (signal.aborted) return;
    const begun = performance.now();
    const first = buffer.next === null;
    const begin = first ? from : { after: buffer.next };
    // The first answer must not wait, nor the first after a failure, nor one behind the end.
    const wait = waits() && !first && !failed && buffer.next === buffer.end ? config.wait : undefined;
    try {
      const page = await call(operations.tail, { query: { ...begin, limit: PAGE, wait, ...filter }, signal });
      if (signal.aborted) return;
      take(page);
      [backoff, failed] = [1000, false];
      const isAtEnd = page.next === page.end;
      if (isAtEnd && !waits()) await pause(pollPause(), signal);
      else if (isAtEnd && page.events.length === 0) await pause(MIN_ROUND_MS - (performance.now() - begun), signal);
    } catch (error) {
      if (signal.aborted) return;
      const isTemporary = [0, 408, 429, 500, 502, 503, 504].includes(error.status);
      failed = true;
      report(isTemporary ? "retrying" : "stopped", error);
      if (!isTemporary) return;
      await pause(backoff, signal);
      backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
    }
  }
}

const WINDOW_S = 60;

/** Commits a second over the last minute of the server's time, as far as the events reach. */
export function commitRate(buffer) {
  if (serverTime === null) return null;
  const positions = new Set();
  let oldest = serverTime;
  for (let index = buffer.events.length - 1; index >= 0; index--) {
    const event = buffer.events[index];
    const at = Date.parse(event.recorded_at);
    if (at < serverTime - WINDOW_S * 1000) return positions.size / WINDOW_S;
    oldest = Math.min(oldest, at);
    positions.add(event.position);
  }
  // All of them are younger than a minute. Older ones may have been cut off.
  const seconds = buffer.events.length < 200 ? WINDOW_S : Math.max(1, (serverTime - oldest) / 1000);
  return positions.size / seconds;
}
