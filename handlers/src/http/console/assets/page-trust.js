// Trust: whether all streams are as they were written.

import { html, useEffect, useRef, useState } from "./preact-htm.js";
import { call, operations } from "./api.js";
import { config } from "./config.js";
import { count, number, visible } from "./format.js";
import { announcement, Badge, Failure, Section, Table, Tile } from "./parts.js";
import { link } from "./routing.js";

/** Streams of one request. A small page moves the figures often. */
const PAGE = 50;
const NOTHING = { streams: 0, commits: 0, broken: [], cursor: null };

export function Trust() {
  const [category, setCategory] = useState("");
  const [state, setState] = useState({ phase: "idle", ...NOTHING });
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  const verify = async (from) => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    let sum = from;
    setState({ phase: "running", ...sum });
    try {
      do {
        const page = await call(operations.verifyAll, { query: { category, cursor: sum.cursor, limit: PAGE }, signal: abort.signal });
        sum = { streams: sum.streams + page.streams, commits: sum.commits + page.commits,
          broken: [...sum.broken, ...page.broken], cursor: page.next_cursor };
        if (abort.signal.aborted) return;
        setState({ phase: sum.cursor ? "running" : "done", ...sum });
      } while (sum.cursor);
      announcement.set(sum.broken.length === 0 ? "All streams are as written" : `${count(sum.broken.length, "stream")} broken`);
    } catch (error) {
      setState(abort.signal.aborted ? { phase: "stopped", ...sum } : { phase: "failed", error, ...sum });
    }
  };
  return html`<h1>Trust</h1>
    <${Section} title="Verify all streams">
      <p>Each stream is a hash chain: a commit holds the hash of the one before it. Verifying walks every
        chain from its first commit to its last, and finds a changed, missing or inserted commit.</p>
      <div class="filters">
        <label>Category <select value=${category} disabled=${state.phase === "running"} onChange=${(event) => setCategory(event.currentTarget.value)}>
          <option value="">all</option>${config.categories.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
        <span class="tools">
          <button type="button" class="primary" disabled=${state.phase === "running"} onClick=${() => verify(NOTHING)}>Verify ${category || "all"}</button>
          ${state.phase === "running" && html`<button type="button" onClick=${() => running.current.abort()}>Stop</button>`}
          ${["stopped", "failed"].includes(state.phase) && state.cursor && html`<button type="button" onClick=${() => verify(state)}>Go on</button>`}
        </span>
      </div>
      <${Failure} error=${state.error} what="Verifying" retry=${() => verify(state)} />
      ${state.phase !== "idle" && html`<${Result} state=${state} />`}<//>
    <p class="hint">To verify one stream, open it: its page has a badge. The command line does the same, and
      compares snapshots as well: <code>audit verify --all</code>.</p>`;
}

function Result({ state }) {
  const { phase, streams, commits, broken } = state;
  const badge = phase === "running" ? html`<${Badge} kind="busy">verifying<//>`
    : phase !== "done" ? html`<${Badge} kind="warn">not finished<//>`
    : broken.length > 0 ? html`<${Badge} kind="bad">${count(broken.length, "stream")} not as written<//>`
    : html`<${Badge} kind="good">all as written<//>`;
  return html`<div role="status">
      ${phase === "running" && html`<progress aria-label="Verifying"></progress>`}
      <p>${badge}</p>
      <dl class="tiles"><${Tile} name="Streams" value=${number(streams)} /><${Tile} name="Commits" value=${number(commits)} />
        <${Tile} name="Broken" value=${number(broken.length)} kind=${broken.length > 0 ? "bad" : "good"} /></dl>
    </div>
    ${broken.length > 0 && html`<${Table} label="Streams that are not as written" columns=${["Stream", { title: "Version", kind: "number" }, "Reason"]}>
      ${broken.map(({ stream, version, reason }) => html`<tr key=${stream}>
        <th scope="row"><a href=${link("streams", stream, { at: version })}>${visible(stream)}</a></th>
        <td class="number">${version}</td><td>${visible(reason)}</td></tr>`)}<//>`}`;
}
