// What is measured over time, as SVG.
import { h, svg } from "./dom.js";
import { count, rate, span, time } from "./format.js";

const left = 46, right = 12, top = 12, bottom = 40;

const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

// steps of an axis that ends at or above max: round numbers, about four of them.
function steps(max) {
  const rough = max / 4, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * size).find((s) => s >= rough);
  return Array.from({ length: Math.ceil(max / step - 1e-9) + 1 }, (_, i) => i * step);
}

// spans of the axis of time, in minutes.
const spans = [1, 2, 5, 10, 15, 30, 60];

// ratePlot draws what the limiter allowed and what was used of it: points are {at, current, used}, oldest first, in requests a second; limit 0 is none.
export function ratePlot(points, limit) {
  if (points.length < 2) return tooFew();
  const last = points.at(-1);
  const throttled = points.filter((p) => limit && p.current < limit).length;
  return figure({
    said: `Requests a second, ${period(points)}. Allowed: ${rate(last.current)} at the end${limit ? `, of a limit of ${rate(limit)}` : ""}. Used: ${rate(last.used)} at the end, ` +
      `${rate(Math.max(...points.map((p) => p.used)))} at most. ${throttled ? `Below the limit for ${Math.round((100 * throttled) / points.length)} % of the time.` : "Never below the limit."}`,
    unit: "requests / s", points, limit, width: innerWidth < 700 ? 360 : 720, height: 240,
    lines: [
      { of: "used", line: "used", area: true, label: "used", column: "Used, requests/s", written: rate },
      { of: "current", line: "allowed", label: "allowed by the limiter", column: "Allowed, requests/s", written: rate }],
    keys: limit ? [key("limit", "coupa.rate.limit")] : [],
  });
}

// coursePlots draw freshness, records and lateness of the same points: {at, freshness_ms, published, lateness_ms}.
export function coursePlots(points) {
  if (points.length < 2) return tooFew();
  const made = points.map((p, i) => ({
    at: p.at,
    freshness: p.freshness_ms === null ? null : p.freshness_ms / 1000,
    // a count that went back was begun anew, by another worker
    records: i && p.published >= points[i - 1].published ? ((p.published - points[i - 1].published) * 1000) / (p.at - points[i - 1].at) : null,
    lateness: p.lateness_ms / 1000,
  }));
  return h("div", { class: "plots" },
    course(made, "freshness", "Freshness of the object furthest behind", true, span),
    course(made, "records", "Records published a second", false, rate),
    course(made, "lateness", "Lateness of rows that became visible late", true, span));
}

function course(points, of, label, isTime, written) {
  const known = points.filter((p) => p[of] !== null);
  const most = Math.max(...known.map((p) => p[of]), 0);
  const [size, unit] = !isTime ? [1, "records / s"] : most > 7200 ? [3600, "hours"] : most > 180 ? [60, "minutes"] : [1, "seconds"];
  const last = known.at(-1);
  return figure({
    said: `${label}, ${period(points)}. ${last ? `${written(last[of])} at the end, ${written(most)} at most.` : "Nothing was measured."}`,
    unit, points: points.map((p) => ({ at: p.at, value: p[of] === null ? null : p[of] / size })), limit: 0, width: 360, height: 200,
    lines: [{ of: "value", line: "used", area: true, label, column: `${label}, ${unit}`, written: (v) => (v === null ? "–" : v < 10 ? v.toFixed(1) : count(v)) }],
    keys: [],
  });
}

const tooFew = () => h("p", { class: "empty" }, "The worker that runs the connector has measured once so far. The plot begins with the second time, ten seconds later.");

const period = (points) => `${hour.format(points[0].at)} to ${hour.format(points.at(-1).at)}`;

// figure draws lines over time, with the numbers below. Where a point has null there is a gap.
function figure({ said, unit, points, lines, limit, width, height, keys }) {
  const from = points[0].at, to = points.at(-1).at;
  const highest = Math.max(limit, ...points.flatMap((p) => lines.map((l) => p[l.of] ?? 0)), 1);
  const marks = steps(highest), max = marks.at(-1);
  const x = (at) => left + ((at - from) / (to - from)) * (width - left - right);
  const y = (value) => top + (1 - value / max) * (height - top - bottom);

  // stretches of points that have a value, as paths
  const stretches = (of) => points.reduce((all, p, i) => {
    if (p[of] === null) return all;
    if (i === 0 || points[i - 1][of] === null) all.push([]);
    all.at(-1).push(p);
    return all;
  }, []);
  const path = (stretch, of) => stretch.map((p, i) => `${i ? "L" : "M"}${x(p.at).toFixed(1)} ${y(p[of]).toFixed(1)}`).join("");
  const area = (stretch, of) => `${path(stretch, of)}L${x(stretch.at(-1).at).toFixed(1)} ${y(0)}L${x(stretch[0].at).toFixed(1)} ${y(0)}Z`;

  const minutes = (to - from) / 60_000;
  const every = (spans.find((s) => minutes / s <= width / 110) ?? 120) * 60_000;
  const times = [];
  for (let at = Math.ceil(from / every) * every; at <= to; at += every) times.push(at);

  return h("figure", { class: "plot" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said },
      marks.map((v) => [
        svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number(v.toFixed(2))))]),
      times.map((at) => [
        svg("line", { class: "grid", x1: x(at), x2: x(at), y1: top, y2: height - bottom + 4 }),
        svg("text", { x: x(at), y: height - bottom + 17, "text-anchor": "middle" }, hour.format(at))]),
      svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, "time of day"),
      svg("text", { class: "axis", x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, unit),
      limit ? svg("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }) : null,
      lines.map((l) => [
        l.area && stretches(l.of).map((s) => svg("path", { class: "area", d: area(s, l.of) })),
        svg("path", { class: l.line, d: stretches(l.of).map((s) => path(s, l.of)).join("") })])),
    h("figcaption", {}, lines.map((l) => key(l.line, l.label)), keys),
    h("details", {}, h("summary", {}, "The numbers"),
      h("div", { class: "scroll", role: "region", "aria-label": "The numbers of the plot", tabindex: "0" }, h("table", { class: "list" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), lines.map((l) => h("th", { scope: "col", class: "number" }, l.column)))),
        h("tbody", {}, points.toReversed().map((p) => h("tr", {}, h("td", {}, time(p.at)), lines.map((l) => h("td", { class: "number" }, l.written(p[l.of]))))))))));
}

const key = (line, label) => h("span", {}, svg("svg", { viewBox: "0 0 28 8", class: "key", "aria-hidden": "true" }, svg("path", { class: line, d: "M0 4L28 4" })), label);
