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
  #grid = new Grid();

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
      for (const [k, n] of r.kinds) tally.set(k, (tally.get(k) ?? 0) + n);
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
    if (shown.length > 0) this.#grid.draw(this.#root.querySelector(".matrix"), shown, columns(all), (page - 1) * pageSize, rows.length, now);
    else put(this.#root, ".matrix", all.length === 0
      ? h("p", { class: "empty" }, "There is no connector yet. Give ", h("code", {}, "coupastream run"), " a connector file, or POST one to ", h("code", {}, "/connectors"), ".")
      : h("p", { class: "empty" }, "No connector is like this."));
    put(this.#root, ".pages", pages === 1 ? null : [
      h("button", { type: "button", "data-do": "page", "data-value": page - 1, disabled: page === 1 }, "Previous"),
      h("span", {}, `Page ${page} of ${pages}`),
      h("button", { type: "button", "data-do": "page", "data-value": page + 1, disabled: page === pages }, "Next")]);
  }

  // arrange filters and sorts. While the pointer or the focus is in the table, rows stay where they are: nobody should hit another one than he aimed at.
  #arrange(all) {
    const q = this.#asked.q.trim().toLowerCase();
    const found = all.filter((r) => (!this.#asked.show || r.kinds.has(this.#asked.show) || r.worst.kind === this.#asked.show) && (!q || r.text.includes(q)));
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

const derived = new WeakMap();

// row is what is shown, searched and sorted of a connector. What does not move with time is kept until an event brings another connector in its place.
function row(c, now) {
  let r = derived.get(c);
  if (!r) {
    r = { c, worst: worst(c), kinds: new Map(), proven: Infinity, errors: 0, used: c.used, text: `${c.name}\n${c.tenant}\n${c.worker ?? ""}`.toLowerCase() };
    for (const t of c.tasks.values()) {
      const { kind } = kindOf(t);
      r.kinds.set(kind, (r.kinds.get(kind) ?? 0) + 1);
      r.errors += t.errors ?? 0;
      r.text += `\n${t.object}`;
      if (freshness(t, now) !== null) r.proven = Math.min(r.proven, t.proven);
    }
    derived.set(c, r);
  }
  r.oldest = r.proven === Infinity ? null : Math.max(0, (now - r.proven) / 1000);
  r.publishing = rateOf(c, now);
  return r;
}

// columns are the objects that any connector has, those of most connectors first.
function columns(all) {
  const have = new Map();
  for (const r of all) for (const t of r.c.tasks.values()) have.set(t.object, (have.get(t.object) ?? 0) + 1);
  return [...have].sort((a, b) => b[1] - a[1] || collator.compare(a[0], b[0])).map(([object]) => object);
}

export const mark = (kind) => h("span", { class: "mark", "aria-hidden": "true" }, kind.mark);

// Grid is the table. It is drawn each second and is by far the largest part of the page, so a cell is touched only where its text or look is another than before.
class Grid {
  #body = h("tbody");
  #head = h("thead");
  #table = h("table", {},
    h("caption", { class: "hidden" }, "Connectors and their objects. Of an object: its condition, and how fresh its topic is. Arrow keys move between objects."), this.#head, this.#body);
  #objects = "";
  #rows = new Map(); // name → {tr, cells: what each shows}

  draw(into, rows, objects, before, total, now) {
    if (into.firstChild !== this.#table) into.replaceChildren(this.#table);
    this.#table.setAttribute("aria-rowcount", total + 1);
    if (this.#objects !== objects.join("\n")) {
      this.#objects = objects.join("\n");
      morph(this.#head, h("thead", {}, heads(objects)));
      this.#rows.clear();
      this.#body.replaceChildren();
    }
    const gone = new Set(this.#rows.keys());
    let at = this.#body.firstChild;
    rows.forEach((r, i) => {
      const name = r.c.name;
      gone.delete(name);
      let have = this.#rows.get(name);
      if (!have) {
        const tr = h("tr", { "data-key": name }, h("th", { scope: "row", class: "name" }, h("a", { href: link(name) }, name), r.c.tenant !== name && h("span", { class: "tenant" }, r.c.tenant)));
        for (let n = 0; n < 5 + objects.length; n++) tr.append(h("td", n < 5 ? {} : { class: "object", "data-key": objects[n - 5] }));
        this.#rows.set(name, (have = { tr, cells: [] }));
      }
      if (have.tr === at) at = at.nextSibling;
      else this.#body.insertBefore(have.tr, at);
      set(have.tr, "aria-rowindex", String(before + i + 2));
      const of = new Map();
      for (const t of r.c.tasks.values()) of.set(t.object, t);
      [...figures(r), ...objects.map((o) => object(r.c, of.get(o), now))].forEach(([shows, make], n) => {
        if (have.cells[n] === shows) return;
        have.cells[n] = shows;
        const td = have.tr.cells[n + 1], made = make();
        set(td, "class", made.className);
        morph(td, made);
      });
    });
    for (const name of gone) {
      this.#rows.get(name).tr.remove();
      this.#rows.delete(name);
    }
  }
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function heads(objects) {
  return h("tr", { "aria-rowindex": 1 }, h("th", { scope: "col", class: "name" }, "Connector"), h("th", { scope: "col" }, "Condition"),
    ["Freshness", "Requests/s", "Records/s", "Errors"].map((t) => h("th", { scope: "col", class: "number" }, t)),
    objects.map((o) => h("th", { scope: "col", class: "object" }, h("span", {}, o.replaceAll("_", " ")))));
}

// figures are the cells of a connector: what each shows, and how it is made.
function figures(r) {
  const { c, worst: kind } = r;
  const label = c.token_error ? "No token" : kind.label, title = c.trace || c.token_error || kind.means;
  const number = (text, bad) => [`${text}${bad ? "!" : ""}`, () => h("td", { class: bad ? "number bad" : "number" }, text)];
  const used = rate(c.used), allowed = c.limit ? ` of ${rate(c.current ?? 0)}` : "";
  return [
    [`${kind.kind} ${label} ${title}`, () => h("td", {}, h("span", { class: `state k-${kind.kind}`, title }, mark(kind), label))],
    number(r.oldest === null ? "–" : age(r.oldest)),
    c.limit === undefined && c.used === undefined ? number("–") : [used + allowed, () => h("td", { class: "number" }, used, h("span", { class: "of" }, allowed))],
    number(r.publishing === null ? "–" : rate(r.publishing)),
    number(count(r.errors), r.errors > 0),
  ];
}

// object is the cell of one.
function object(c, t, now) {
  if (!t) return ["", () => h("td", { class: "object none" })];
  const kind = kindOf(t);
  const fresh = freshness(t, now);
  const text = kind.kind === "backfilling" && t.total ? `${Math.min(99, Math.floor((100 * t.done) / t.total))} %` : fresh === null ? "" : age(fresh);
  const title = `${t.object}: ${kind.label}${t.trouble ? `: ${t.trouble}` : ""}`;
  return [`${kind.kind} ${text} ${title}`, () => h("td", { class: "object" },
    h("a", { href: link(c.name, t.object), class: `k-${kind.kind}`, tabindex: "-1", title }, mark(kind), h("span", { class: "hidden" }, `${kind.label} `), text))];
}

// age of something at a glance: seconds in steps of five, so that a quiet table is quiet.
const age = (seconds) => span(seconds < 10 ? seconds : seconds < 60 ? seconds - (seconds % 5) : seconds, 1);

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
