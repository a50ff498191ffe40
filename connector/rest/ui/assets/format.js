// How times and numbers are written. Times are milliseconds since 1970; durations are seconds.
import { h } from "./dom.js";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" });

export const count = (n) => number.format(n ?? 0);

// plural: 1 object, 2 objects.
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

// rate of something a second: a digit after the point where it is small.
export const rate = (n) => (n ?? 0).toFixed(n && n < 10 ? 1 : 0);

const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

// span writes a duration in its two largest units, or in one.
export function span(seconds, parts = 2) {
  let rest = Math.max(0, Math.round(seconds));
  const written = [];
  for (const [size, unit] of units) {
    if (rest < size) {
      if (written.length > 0) break;
      continue;
    }
    written.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
    if (written.length === parts) break;
  }
  return written.join(" ") || "0 s";
}

// time writes an instant in the reader's time zone, the day where it is not today; in UTC when pointed at.
export function time(at) {
  if (!at) return "–";
  const date = new Date(at);
  const today = day.format(date) === day.format(new Date());
  const text = today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
  return h("time", { datetime: date.toISOString(), title: `${date.toISOString()} (UTC)` }, text);
}
