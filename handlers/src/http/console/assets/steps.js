// The steps of a projection: what each does, and why it is not possible now.

import { html, useEffect, useRef } from "./preact-htm.js";
import { operations } from "./api.js";
import { count, duration, number, rate } from "./format.js";
import { announcement } from "./parts.js";

/** The worst thing about a projection, in a word. */
export function healthOf({ parked, lag, job, shape, active_shape: active }) {
  if (parked > 0) return { kind: "bad", text: `${number(parked)} parked` };
  if (lag?.dead_letters > 0) return { kind: "bad", text: count(lag.dead_letters, "dead letter") };
  if (active && active !== shape) return { kind: "warn", text: "rows of another shape" };
  if (job) return { kind: "busy", text: job.paused ? `${job.kind} paused` : job.kind };
  if (!lag) return { kind: "warn", text: "lag unknown" };
  if (lag.messages > 0) return { kind: "busy", text: "catching up" };
  return { kind: "good", text: "up to date" };
}

/** Announces a projection that begins or ceases to stand still. */
export function useAnnouncedHealth(projections) {
  const before = useRef(null);
  useEffect(() => {
    if (!projections) return;
    const now = new Map(projections.map((one) => [one.name, healthOf(one).kind]));
    for (const [name, kind] of now) {
      const was = before.current?.get(name);
      if (was !== undefined && (was === "bad") !== (kind === "bad")) {
        announcement.set(kind === "bad" ? `${name} stands still` : `${name} goes on`);
      }
    }
    before.current = now;
  }, [projections]);
}

const PASSES = { rebuild: ["backfill", "verification"], reconcile: ["comparison", "comparison"], remove: ["removal", "removal"] };

/** The share of a pass that is done, from 0 to 1. The table's size is an estimate. */
export function shareOf(job) {
  const segments = job.segments > 0 ? job.segments_done / job.segments : 0;
  if (!job.items_expected) return segments;
  const items = Math.min(job.tally.batches / job.items_expected, 0.99);
  return Math.max(segments, segments === 1 ? 1 : items);
}

/** The progress of a job: a bar, and the same in words. */
export function JobBar({ job, long = false }) {
  const share = shareOf(job);
  const pass = (PASSES[job.kind] ?? [job.kind])[Math.min(job.pass, 1)] ?? job.kind;
  const percent = `${Math.floor(share * 100)} %`;
  const left = job.paused ? "paused" : job.seconds_left === null ? "" : `${duration(job.seconds_left)} left`;
  return html`<div class="job">
    <progress max="1" value=${share} aria-label=${`${job.kind} ${percent}`}></progress>
    <span>${job.kind} ${percent}${left && `, ${left}`}</span>
    ${long && html`<span class="muted">pass ${job.pass + 1} (${pass}): ${number(job.tally.batches)} of about ${
      job.items_expected === null ? "?" : number(job.items_expected)} items, ${rate(job.items_per_second)} a second, ${
      number(job.segments_done)} of ${count(job.segments, "segment")} done</span>`}
  </div>`;
}

/**
 * All steps. `refusal` says why the API would refuse one: it repeats its rules so that a reader
 * need not try. The API decides.
 */
export const STEPS = [
  {
    name: "rebuild", title: "Rebuild", operation: operations.rebuild, body: {},
    does: "Fills a new standby generation from the events. Readers keep the active one.",
    refusal: ({ read_model: isReadModel, job, other }) => !isReadModel ? "A process has no rows to rebuild."
      : job ? busy(job)
      : other ? `Generation ${other.number} (${other.state}) is the standby: switch to it or drop it first.` : null,
  },
  {
    name: "switch", title: "Switch", operation: operations.switch, body: {},
    does: "Makes the standby generation active. Reads follow within a second.",
    refusal: ({ job, other }) => !other ? "There is no standby generation: rebuild first."
      : other.state === "building" ? `Generation ${other.number} is still being built.`
      : other.state === "previous" ? `Generation ${other.number} is the previous one: roll back to it instead.`
      : other.state === "removing" ? `Generation ${other.number} is being removed.` : busyBut(job, "reconcile"),
  },
  {
    name: "rollback", title: "Roll back", operation: operations.rollback, body: {},
    does: "Undoes the last switch.",
    refusal: ({ job, other }) => other?.state !== "previous" ? "There was no switch that can be undone." : busyBut(job, "reconcile"),
  },
  {
    name: "drop", title: "Drop", operation: operations.drop, danger: true,
    does: "Removes the rows of the standby generation. It cannot be undone, only rebuilt.",
    refusal: ({ job, other }) => !other ? "There is no standby generation."
      : other.state === "removing" ? "It is being removed." : busyBut(job, "reconcile"),
  },
  {
    name: "reconcile", title: "Reconcile", operation: operations.reconcile, body: {},
    does: "Compares all streams with the projection, and catches up those that are behind.",
    refusal: ({ job }) => job ? busy(job) : null,
  },
  {
    name: "pause", title: "Pause", operation: operations.pause, body: {},
    does: "Pauses the job.",
    refusal: ({ job }) => !job ? "No job runs." : job.paused ? "The job is paused already." : null,
  },
  {
    name: "resume", title: "Resume job", operation: operations.resume, body: {},
    does: "Continues a paused job, and all parked streams.",
    refusal: ({ job }) => !job ? "No job is paused." : null,
  },
  {
    name: "cancel", title: "Cancel", operation: operations.cancel, body: {}, danger: true,
    does: "Ends the job. The rows that a rebuild has written are removed.",
    refusal: ({ job }) => !job ? "No job runs." : job.kind === "remove" ? "A removal cannot be cancelled." : null,
  },
];

function busy(job) {
  return `The ${job.kind} runs: wait for its end${job.kind === "remove" ? "" : " or cancel it"}.`;
}

function busyBut(job, allowed) {
  return job && job.kind !== allowed ? busy(job) : null;
}
