// Text for people. Times are those of the server; the client's clock is never used.

const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const NUMBER = new Intl.NumberFormat();

/** The day and the time of a time of the server, in the reader's zone. */
export function localTime(text) {
  const time = Date.parse(text);
  return Number.isNaN(time) ? ["", String(text)] : [DAY.format(time), TIME.format(time)];
}

export function utcTime(text) {
  return String(text).replace("T", " ").replace(/Z$/, " UTC");
}

export function count(number, one, many = `${one}s`) {
  return `${NUMBER.format(number)} ${number === 1 ? one : many}`;
}

export function number(value) {
  return NUMBER.format(value);
}

/** A rate with one digit behind the point below ten. */
export function rate(perSecond) {
  return perSecond >= 10 ? NUMBER.format(Math.round(perSecond)) : perSecond.toFixed(1);
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

/** The time between two times of the server. */
export function between(from, to) {
  const ms = Date.parse(to) - Date.parse(from);
  if (Number.isNaN(ms)) return "";
  return Math.abs(ms) < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
}

export function bytes(length) {
  return length < 1024 ? `${length} B` : length < 1048576 ? `${Math.round(length / 1024)} KB` : `${(length / 1048576).toFixed(1)} MB`;
}

/** Cuts a long id in its middle. Both ends tell ids apart. */
export function cut(id, length = 24) {
  const text = String(id);
  if (text.length <= length) return text;
  const tail = Math.floor((length - 1) / 3);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(-tail)}`;
}

// Characters that show nothing, or change the direction of what follows.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]/g;

/** Text in which hidden characters are written as escapes, so that it reads as it is stored. */
export function visible(text) {
  return String(text).replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Data on one line, cut. */
export function preview(data, length = 160) {
  const text = data === undefined ? "" : JSON.stringify(data);
  return visible(text.length > length ? `${text.slice(0, length)}…` : text);
}
