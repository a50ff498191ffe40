// The rate over time, as SVG.
import { h, svg } from "./dom.js";
import { rate, time } from "./format.js";

const height = 240;
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
  if (points.length < 2) return h("p", { class: "empty" }, "The worker that runs the connector has not measured a rate for long enough to draw it.");
  const width = innerWidth < 700 ? 360 : 720; // letters keep their size
  const from = points[0].at, to = points.at(-1).at;
  const highest = Math.max(limit, ...points.map((p) => Math.max(p.current, p.used)), 1);
  const marks = steps(highest), max = marks.at(-1);
  const x = (at) => left + ((at - from) / (to - from)) * (width - left - right);
  const y = (value) => top + (1 - value / max) * (height - top - bottom);
  const line = (key) => points.map((p, i) => `${i ? "L" : "M"}${x(p.at).toFixed(1)} ${y(p[key]).toFixed(1)}`).join("");

  const minutes = (to - from) / 60_000;
  const every = (spans.find((s) => minutes / s <= width / 110) ?? 120) * 60_000;
  const times = [];
  for (let at = Math.ceil(from / every) * every; at <= to; at += every) times.push(at);

  const last = points.at(-1);
  const throttled = points.filter((p) => limit && p.current < limit).length;
  const said = `Requests a second, ${hour.format(from)} to ${hour.format(to)}. Allowed: ${rate(last.current)} at the end${limit ? `, of a limit of ${rate(limit)}` : ""}. Used: ${rate(last.used)} at the end, ` +
    `${rate(Math.max(...points.map((p) => p.used)))} at most. ${throttled ? `Below the limit for ${Math.round((100 * throttled) / points.length)} % of the time.` : "Never below the limit."}`;
  return h("figure", { class: "plot" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said },
      marks.map((v) => [
        svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number(v.toFixed(2))))]),
      times.map((at) => [
        svg("line", { class: "grid", x1: x(at), x2: x(at), y1: top, y2: height - bottom + 4 }),
        svg("text", { x: x(at), y: height - bottom + 17, "text-anchor": "middle" }, hour.format(at))]),
      svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, "time of day"),
      svg("text", { class: "axis", x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, "requests / s"),
      limit ? svg("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }) : null,
      svg("path", { class: "area", d: `${line("used")}L${x(to).toFixed(1)} ${y(0)}L${left} ${y(0)}Z` }),
      svg("path", { class: "used", d: line("used") }),
      svg("path", { class: "allowed", d: line("current") })),
    h("figcaption", {}, key("used", "used"), key("allowed", "allowed by the limiter"), limit ? key("limit", "coupa.rate.limit") : null),
    h("details", {}, h("summary", {}, "The numbers"),
      h("div", { class: "scroll", role: "region", "aria-label": "The numbers of the plot", tabindex: "0" }, h("table", { class: "list" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), h("th", { scope: "col", class: "number" }, "Allowed, requests/s"), h("th", { scope: "col", class: "number" }, "Used, requests/s"))),
        h("tbody", {}, points.toReversed().map((p) => h("tr", {}, h("td", {}, time(p.at)), h("td", { class: "number" }, rate(p.current)), h("td", { class: "number" }, rate(p.used)))))))));
}

const key = (line, label) => h("span", {}, svg("svg", { viewBox: "0 0 28 8", class: "key", "aria-hidden": "true" }, svg("path", { class: line, d: "M0 4L28 4" })), label);
