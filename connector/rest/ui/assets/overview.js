// The overview: a row for each connector, a column for each object, what needs somebody first.
import { h, morph } from "./dom.js";
import { count, plural, rate, span } from "./format.js";
import { freshness, live, rateOf } from "./live.js";
import { kindOf, kinds, problem, worst } from "./states.js";

const pageSize = 50;

const sorts = {
  problems: { label: "problems first", by: (a, b) => a.worst.level - b.worst.level },
  name: { label: "name", by: () => 0 },
  freshness: { label: "oldest first", by: (a, b) => (b.oldest ?? -1) - (a.oldest ?? -1) },
  requests: { label: "most requests", by: (a, b) => (b.used ?? 0) - (a.used ?? 0) },
  published: { label: "most published", by: (a, b) => (b.publishing ?? -1) - (a.publishing ?? -1) },
  errors: { label: "most errors", by: (a, b) => b.errors - a.errors },
};

export const link = (name, object) => `#/connectors/${encodeURIComponent(name)}${object === undefined ? "" : `/${encodeURIComponent(object)}`}`;

export class Overview {
  title = "Overview";
  #asked; // what the reader asked for: the address holds it, so that it can be kept and sent
  #order = null; // names as shown, held while somebody is at the table
  #root;

  constructor(query) {
    this.#asked = { q: query.get("q") ?? "", show: query.get("show") ?? "", sort: sorts[query.get("sort")] ? query.get("sort") : "problems", page: Number(query.get("page")) || 1 };
  }

  // mount draws what stays: the tools keep their focus while the rest changes.
  mount(main) {
    const option = (value, label, chosen) => h("option", { value, selected: value === chosen }, label);
    this.#root = main;
    main.replaceChildren(
      h("h1", {}, "Connectors"),
      h("p", { class: "totals" }),
      h("div", { class: "chips", role: "group", "aria-label": "Show only connectors with an object that is" }),
      h("div", { class: "tools", role: "search" },
        h("label", {}, "Search ", h("input", { type: "search", name: "q", value: this.#asked.q, placeholder: "connector, tenant or object", autocomplete: "off", spellcheck: "false" })),
        h("label", {}, "Sort by ", h("select", { name: "sort" }, Object.entries(sorts).map(([k, s]) => option(k, s.label, this.#asked.sort)))),
        h("p", { class: "found", role: "status" })),
      h("div", { class: "matrix", role: "region", "aria-label": "Connectors and their objects", tabindex: "0" }),
      h("nav", { class: "pages", "aria-label": "Pages of connectors" }),
      legend());
    main.querySelector("input").addEventListener("input", (e) => this.#ask({ q: e.target.value }));
    main.querySelector("select").addEventListener("change", (e) => this.#ask({ sort: e.target.value }));
    main.querySelector(".matrix").addEventListener("keydown", arrows);
    this.draw();
  }

  act(name, value) {
    if (name === "show") this.#ask({ show: value === this.#asked.show ? "" : value });
    if (name === "page") {
      this.#ask({ page: Number(value) });
      this.#root.querySelector(".matrix").focus({ preventScroll: true });
      this.#root.querySelector(".tools").scrollIntoView({ block: "start" });
    }
    return name === "show" || name === "page";
  }

  #ask(news) {
    Object.assign(this.#asked, { page: 1 }, news);
    this.#order = null;
    const query = new URLSearchParams();
    for (const [k, v] of Object.entries(this.#asked)) if (v && v !== { sort: "problems", page: 1 }[k]) query.set(k, v);
    history.replaceState(null, "", query.size ? `#/?${query}` : "#/");
    this.draw();
  }

  draw() {
    if (!live.known) return put(this.#root, ".matrix", h("p", { class: "empty" }, live.trouble ? `The worker can't read the state: ${live.trouble}` : "Waiting for the worker…"));
    const now = live.now();
    const all = [...live.connectors.values()].map((c) => row(c, now));
    const tally = new Map();
    let objects = 0;
    for (const r of all) {
      objects += r.c.tasks.size;
      for (const t of r.c.tasks.values()) {
        const k = kindOf(t).kind;
        tally.set(k, (tally.get(k) ?? 0) + 1);
      }
    }
    const bad = all.filter((r) => problem(r.worst)).length;
    put(this.#root, ".totals", plural(all.length, "connector"), ", ", plural(objects, "object"), ", ",
      h("strong", { class: bad ? "bad" : "good" }, bad ? `${count(bad)} with a problem` : "none with a problem"));
    put(this.#root, ".chips", kinds.filter((k) => tally.has(k.kind) || k.kind === this.#asked.show).map((k) =>
      h("button", { type: "button", class: `chip k-${k.kind}`, "data-key": k.kind, "data-do": "show", "data-value": k.kind, "aria-pressed": String(k.kind === this.#asked.show), title: k.means },
        mark(k), `${k.label} `, h("b", {}, count(tally.get(k.kind) ?? 0)))));

    const rows = this.#arrange(all);
    const pages = Math.max(1, Math.ceil(rows.length / pageSize));
    const page = Math.min(this.#asked.page, pages);
    const shown = rows.slice((page - 1) * pageSize, page * pageSize);
    put(this.#root, ".found", rows.length === all.length ? "" : `${count(rows.length)} of ${plural(all.length, "connector")} shown`);
    put(this.#root, ".matrix", all.length === 0
      ? h("p", { class: "empty" }, "There is no connector yet. Give ", h("code", {}, "coupastream run"), " a connector file, or POST one to ", h("code", {}, "/connectors"), ".")
      : shown.length === 0 ? h("p", { class: "empty" }, "No connector is like this.") : table(shown, columns(all), (page - 1) * pageSize, rows.length));
    put(this.#root, ".pages", pages === 1 ? null : [
      h("button", { type: "button", "data-do": "page", "data-value": page - 1, disabled: page === 1 }, "Previous"),
      h("span", {}, `Page ${page} of ${pages}`),
      h("button", { type: "button", "data-do": "page", "data-value": page + 1, disabled: page === pages }, "Next")]);
  }

  // arrange filters and sorts. While the pointer or the focus is in the table, rows stay where they are: nobody should hit another one than he aimed at.
  #arrange(all) {
    const q = this.#asked.q.trim().toLowerCase();
    const found = all.filter((r) => (!this.#asked.show || r.kinds.has(this.#asked.show)) && (!q || r.text.includes(q)));
    const matrix = this.#root.querySelector(".matrix");
    const held = this.#order && (matrix.matches(":hover") || (matrix.contains(document.activeElement) && document.activeElement !== matrix));
    if (held) {
      const place = (r) => this.#order.get(r.c.name) ?? Infinity;
      found.sort((a, b) => place(a) - place(b) || compare(a, b));
    } else {
      const by = sorts[this.#asked.sort].by;
      found.sort((a, b) => by(a, b) || compare(a, b));
      this.#order = new Map(found.map((r, i) => [r.c.name, i]));
    }
    return found;
  }
}

const collator = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => collator.compare(a.c.name, b.c.name);

// row is what is shown, searched and sorted of a connector.
function row(c, now) {
  const r = { c, worst: worst(c), kinds: new Set(), oldest: null, errors: 0, used: c.used, publishing: rateOf(c, now), text: `${c.name}\n${c.tenant}\n${c.worker ?? ""}`.toLowerCase() };
  for (const t of c.tasks.values()) {
    r.kinds.add(kindOf(t).kind);
    r.errors += t.errors ?? 0;
    r.text += `\n${t.object}`;
    const f = freshness(t, now);
    if (f !== null && (r.oldest === null || f > r.oldest)) r.oldest = f;
  }
  if (c.tasks.size === 0) r.kinds.add(r.worst.kind);
  return r;
}

// columns are the objects that any connector has, those of most connectors first.
function columns(all) {
  const have = new Map();
  for (const r of all) for (const t of r.c.tasks.values()) have.set(t.object, (have.get(t.object) ?? 0) + 1);
  return [...have].sort((a, b) => b[1] - a[1] || collator.compare(a[0], b[0])).map(([object]) => object);
}

export const mark = (kind) => h("span", { class: "mark", "aria-hidden": "true" }, kind.mark);

function table(rows, objects, before, total) {
  const now = live.now();
  return h("table", { "aria-rowcount": total + 1 },
    h("caption", { class: "hidden" }, "Connectors and their objects. Of an object: its condition, and how fresh its topic is. Arrow keys move between objects."),
    h("thead", {}, h("tr", { "aria-rowindex": 1 },
      h("th", { scope: "col", class: "name" }, "Connector"),
      h("th", { scope: "col" }, "Condition"),
      h("th", { scope: "col", class: "number" }, "Freshness"),
      h("th", { scope: "col", class: "number" }, "Requests/s"),
      h("th", { scope: "col", class: "number" }, "Records/s"),
      h("th", { scope: "col", class: "number" }, "Errors"),
      objects.map((o) => h("th", { scope: "col", class: "object", "data-key": o }, h("span", {}, o.replaceAll("_", " ")))))),
    h("tbody", {}, rows.map((r, i) => {
      const of = new Map([...r.c.tasks.values()].map((t) => [t.object, t]));
      return h("tr", { "data-key": r.c.name, "aria-rowindex": before + i + 2 },
        h("th", { scope: "row", class: "name" }, h("a", { href: link(r.c.name) }, r.c.name),
          r.c.tenant !== r.c.name && h("span", { class: "tenant" }, r.c.tenant)),
        h("td", {}, h("span", { class: `state k-${r.worst.kind}`, title: r.c.trace || r.c.token_error || r.worst.means }, mark(r.worst), r.c.token_error ? "No token" : r.worst.label)),
        h("td", { class: "number" }, r.oldest === null ? "–" : span(r.oldest, 1)),
        h("td", { class: "number" }, r.c.worker ? [rate(r.c.used), r.c.limit ? h("span", { class: "of" }, ` of ${rate(r.c.current ?? r.c.limit)}`) : null] : "–"),
        h("td", { class: "number" }, r.publishing === null ? "–" : rate(r.publishing)),
        h("td", { class: `number${r.errors ? " bad" : ""}` }, count(r.errors)),
        objects.map((o) => cell(r.c, of.get(o), o, now)));
    })));
}

function cell(c, t, object, now) {
  if (!t) return h("td", { class: "object none", "data-key": object });
  const kind = kindOf(t);
  const fresh = freshness(t, now);
  const text = kind.kind === "backfilling" && t.total ? `${Math.min(99, Math.floor((100 * t.done) / t.total))} %` : fresh === null ? "" : span(fresh, 1);
  return h("td", { class: "object", "data-key": object },
    h("a", { href: link(c.name, t.object), class: `k-${kind.kind}`, tabindex: "-1", title: `${t.object}: ${kind.label}${t.trouble ? `: ${t.trouble}` : ""}` },
      mark(kind), h("span", { class: "hidden" }, `${kind.label} `), text));
}

function legend() {
  return h("details", { class: "legend" }, h("summary", {}, "What the signs mean"),
    h("dl", {}, kinds.map((k) => h("div", {}, h("dt", {}, h("span", { class: `state k-${k.kind}` }, mark(k), k.label)), h("dd", {}, k.means)))),
    h("p", {}, "The time in an object's place is its freshness: what changed in Coupa longer ago than that is in the topic. A connector's is that of its least fresh object. Of a backfill, it is the share that is done."));
}

// arrows moves the focus between the links of the table; only those of connectors are in the order of the tab key.
function arrows(e) {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
  const here = e.target.closest("th,td");
  if (!by || !here || e.altKey || e.ctrlKey || e.metaKey) return;
  let tr = here.parentElement, place = here.cellIndex;
  for (;;) {
    if (by[0]) tr = by[0] < 0 ? tr.previousElementSibling : tr.nextElementSibling;
    place += by[1];
    const to = tr?.cells[place];
    if (!to) return;
    const a = to.querySelector("a");
    if (a) {
      e.preventDefault();
      a.focus();
      return;
    }
  }
}

// put makes these the children of a part of the page.
export function put(root, selector, ...children) {
  morph(root.querySelector(selector), h("div", {}, ...children));
}
