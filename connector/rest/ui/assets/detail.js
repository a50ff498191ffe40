// A connector, and one object of it. Both are drawn from GET /connectors/{name}/health, which is asked again when an event says that the connector changed.
import { ask, pathOf, session } from "./api.js";
import { h } from "./dom.js";
import { count, plural, rate, span, time } from "./format.js";
import { live } from "./live.js";
import { link, mark, put } from "./overview.js";
import { coursePlots, ratePlot } from "./plot.js";
import { kindOf } from "./states.js";

// slow is how often what no event tells of is asked again: offsets, snapshots, the configuration.
const slow = 5_000;

export class Detail {
  #name;
  #object;
  #root;
  #left = false;
  #asking = false;
  #again = false;
  #slowAt = 0;
  // What was read last, and why the last reading failed.
  #health = null;
  #readAt = 0;
  #config = null;
  #offsets = null;
  #snapshots = null;
  #failure = null;

  constructor(name, object) {
    this.#name = name;
    this.#object = object;
    this.title = object === undefined ? name : `${object} of ${name}`;
  }

  mount(main) {
    this.#root = main;
    main.replaceChildren(
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("ol", {},
        h("li", {}, h("a", { href: "#/" }, "Connectors")),
        this.#object === undefined ? h("li", { "aria-current": "page" }, this.#name) : [h("li", {}, h("a", { href: link(this.#name) }, this.#name)), h("li", { "aria-current": "page" }, this.#object)])),
      h("div", { class: "detail" }));
    this.draw();
    this.refresh();
  }

  unmount() {
    this.#left = true;
  }

  act() {}

  // subject is what an action is about.
  subject() {
    return { name: this.#name, health: this.#health, task: this.#task() };
  }

  #task() {
    return this.#object === undefined ? undefined : this.#health?.tasks.find((t) => t.object === this.#object);
  }

  // refresh asks everything again.
  refresh() {
    this.#slowAt = 0;
    this.#read();
  }

  async #read() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    const part = (path) => ask("GET", pathOf(this.#name, path)).catch((e) => ({ failure: e }));
    const all = Date.now() - this.#slowAt >= slow;
    if (all) this.#slowAt = Date.now();
    const [health, config, offsets, snapshots] = await Promise.all([part("/health"), all && part("/config"), all && part("/offsets"), all && part("/snapshots")]);
    this.#asking = false;
    if (this.#left) return;
    this.#failure = health.failure ?? null;
    if (!health.failure) {
      this.#health = health;
      this.#readAt = Date.now();
    }
    if (all) [this.#config, this.#offsets, this.#snapshots] = [config, offsets, snapshots];
    this.draw();
    if (this.#again) {
      this.#again = false;
      setTimeout(() => !this.#left && this.#read(), 1000);
    }
  }

  // draw is called each second, and with an event when something changed.
  draw(event) {
    if (event && (event.full || event.connectors?.[this.#name] || event.removed?.includes(this.#name))) this.#read();
    else if (!event && live.connection === "live" && Date.now() - this.#slowAt >= slow && !document.hidden) this.#read();
    put(this.#root, ".detail", this.#draw());
  }

  #draw() {
    const heading = this.#object === undefined ? this.#name : [this.#object.replaceAll("_", " "), h("span", { class: "of" }, ` of ${this.#name}`)];
    if (this.#failure && (!this.#health || this.#failure.status === 404)) {
      return [h("h1", {}, heading), h("p", { class: "trouble" }, this.#failure.status === 404 ? `There is no connector ${this.#name} (any more).` : this.#failure.message)];
    }
    if (!this.#health) return [h("h1", {}, heading), h("p", { class: "empty" }, "Asking the worker…")];
    const task = this.#task();
    if (this.#object !== undefined && !task) return [h("h1", {}, heading), h("p", { class: "trouble" }, `The connector has no object ${this.#object}. `, h("a", { href: link(this.#name) }, "Its objects"))];
    const stale = this.#failure && h("p", { class: "trouble" }, `The detail can't be read again: ${this.#failure.message} What is shown is of `, time(this.#readAt), ".");
    return [stale, task ? this.#ofTask(heading, task) : this.#ofConnector(heading)];
  }

  #ofConnector(heading) {
    const c = this.#health;
    const kind = kindOf(c);
    const failed = c.tasks.filter((t) => t.state === "FAILED").length;
    return [
      h("h1", {}, heading, " ", chip(kind)),
      h("p", { class: "facts" }, `Tenant ${c.tenant}, ${plural(c.tasks.length, "object")}${failed ? ` of which ${count(failed)} failed` : ""}, `, c.worker_id ? `run by ${c.worker_id}` : "run by no worker", c.from_file ? ". Defined by a file of the worker." : "."),
      buttons(c.state === "PAUSED" || c.state === "STOPPED" ? action("resume", "Resume", "primary") : action("pause", "Pause"), c.state !== "STOPPED" && action("stop", "Stop"), action("restart", failed ? "Restart failed…" : "Restart…")),
      c.trace && trouble(c.state === "FAILED" ? "Why it has failed" : "Why not all is known", c.trace),
      c.token?.trouble && trouble("There is no access token", c.token.trouble, "Look at coupa.client.id and coupa.client.secret, and at the client in Coupa: Setup, OAuth2/OpenID Connect Clients."),
      section("Objects", scroll("Objects", h("table", { class: "list" },
        h("thead", {}, h("tr", {}, ["Object", "Condition"].map((t) => h("th", { scope: "col" }, t)), ["Freshness", "Read", "Published", "Dropped", "Late", "Silent", "Dead letters", "Errors"].map((t) => h("th", { scope: "col", class: "number" }, t)))),
        h("tbody", {}, c.tasks.map((t) => h("tr", { "data-key": t.object },
          h("th", { scope: "row" }, h("a", { href: link(c.name, t.object) }, t.object)), h("td", {}, chip(kindOf(t))), h("td", { class: "number" }, fresh(t)),
          [t.rows, t.published, t.dropped, t.late, t.silent].map((n) => h("td", { class: "number" }, count(n))),
          h("td", { class: `number${t.dead_letters ? " bad" : ""}` }, count(t.dead_letters)), h("td", { class: `number${t.errors.length ? " bad" : ""}` }, count(t.errors.length)))))))),
      this.#course(),
      this.#requests(),
      this.#configuration(),
    ];
  }

  #ofTask(heading, t) {
    const c = this.#health;
    return [
      h("h1", {}, heading, " ", chip(kindOf(t))),
      h("p", { class: "facts" }, "Topic ", h("code", {}, t.topic), `, task ${t.id}, `, c.worker_id ? `run by ${c.worker_id}.` : "run by no worker."),
      buttons(action("restart-task", "Restart"), t.state === "RUNNING" && this.#snapshots && !this.#snapshots.failure && action("snapshot", "Snapshot…"), t.deletes?.stage === "waiting" && action("deletes-approve", "Approve deletes…")),
      h("div", { class: "buttons", role: "group", "aria-label": "Questions" }, action("explain", "Explain a row…")),
      t.trace && trouble(t.state === "FAILED" ? "Why it has failed" : "What it waits for", t.trace, t.errors[0]?.message === t.trace ? t.errors[0].remedy : ""),
      t.state === "FAILED" && h("p", {}, t.circuit_open ? "It has failed so often that it is tried seldom (the circuit is open). " : "", t.next_try ? ["It tries again by itself at ", time(t.next_try), inFuture(t.next_try), ". "] : "", t.restarts ? `It has tried ${plural(t.restarts, "time")} since it last worked.` : ""),
      c.trace && c.state !== "FAILED" && trouble("Why not all is known", c.trace),
      section("Position", facts(
        ["Freshness", fresh(t), "What changed in Coupa longer ago than that is in the topic."],
        ["Read every", span(t.interval_ms / 1000), "The present time from one poll to the next, or from one reading of all rows to the next."],
        ["Read until", time(t.proven), t.polls || t.mark ? "The end of the last window that was read to its end." : "Nothing was read yet: when the object began."],
        ...verified(t.verified),
        ["Mark", time(t.mark), "The next poll begins there, less overlap.ms. A backfill may still have older rows to read."],
        ...this.#offset(t)),
        progress(t)),
      section("Counts", h("p", { class: "hint" }, "Since the worker that runs it began."), facts(
        ["Rows read", count(t.rows), "From Coupa, repetitions included."],
        ["Records published", count(t.published), "Committed to the topic."],
        ["Dropped as seen", count(t.dropped), "Rows read again in the overlap that were published already."],
        ["Polls", count(t.polls), "Read to their end."],
        ["Late rows", count(t.late), t.late ? `Visible only after the mark had passed them, the latest by ${span(t.lateness_ms / 1000)}; overlap.ms has to cover it.` : "Visible only after the mark had passed them."],
        ["Silent changes", count(t.silent), "Published changes that did not move updated-at, of lines most of them."],
        ["Look-back finds", count(t.lookback_finds), "Rows that polls had missed and a look-back found."],
        ...(t.deletes ? [["Deleted", count(t.deletes.deleted), `Rows deleted in Coupa. ${t.deletes.since ? "They are found" : "The ids in the topic are being learned; they are found from then on"}; the last sweep compared ${count(t.deletes.known)} rows.`]] : []),
        ["Dead letters", count(t.dead_letters), t.dead_letter ? `The last: ${t.dead_letter}` : "Rows that could not go to the topic."],
        t.dead_letters_waiting !== undefined && ["Dead letters that wait", count(t.dead_letters_waiting), "In the dead letter topic, and nobody has replayed them."],
        ["Trimmed", count(t.trimmed), "Records whose longest texts were cut."],
        ["Malformed texts", count(t.malformed_texts), "Texts with bytes that are not UTF-8; U+FFFD stands in their place."],
        (t.marked || t.marks_waiting) && ["Marked as exported", count(t.marked ?? 0), `${count(t.marks_waiting ?? 0)} rows more are published and wait for their mark; ${count(t.marks_failed ?? 0)} marks failed and are tried again.`],
        ...Object.entries(t.custom_fields_in_unmapped ?? {}).map(([f, n]) => [`Unmapped: ${f}`, count(n), "Values of this custom field that are JSON text in unmapped."]),
        ...Object.entries(t.unreadable_in_unmapped ?? {}).map(([f, n]) => [`Unreadable: ${f}`, count(n), "Values of this field that can't be read as its type and are JSON text in unmapped."]),
        ...Object.entries(t.left_out ?? {}).map(([f, n]) => [`Left out: ${f}`, count(n), "Values for which records have no place, with unmapped=off."]))),
      (t.notices ?? []).map((n) => trouble("What stays so until you act", n.message, n.remedy)),
      section("Recent errors", t.errors.length === 0 ? h("p", { class: "empty" }, "None.") : h("ol", { class: "errors" }, t.errors.map((e) =>
        h("li", {}, h("p", { class: "when" }, time(e.at), `, ${span((live.now() - Date.parse(e.at)) / 1000, 1)} ago`), h("p", { class: "message" }, e.message), e.remedy && h("p", {}, h("b", {}, "What to do: "), e.remedy))))),
      this.#snapshotsOf(t),
      section("Schema versions", t.schema_versions.length === 0 ? h("p", { class: "empty" }, "None since the worker began.") : scroll("Schema versions", h("table", { class: "list" },
        h("thead", {}, h("tr", {}, ["Since", "Subject"].map((s) => h("th", { scope: "col" }, s)), h("th", { scope: "col", class: "number" }, "Id in the registry"))),
        h("tbody", {}, t.schema_versions.toReversed().map((v) => h("tr", {}, h("td", {}, time(v.at)), h("td", {}, h("code", {}, v.subject)), h("td", { class: "number" }, v.id))))))),
      this.#course(),
      this.#requests(),
      this.#configuration(),
    ];
  }

  #offset(t) {
    const o = this.#offsets;
    if (!o || o.failure) return [["Committed offset", "–", o?.failure.message ?? ""]];
    const mine = o.offsets.find((x) => x.partition.object === t.object)?.offset;
    if (!mine) return [["Committed offset", "none", "Nothing was committed yet."]];
    return [["Committed offset", time(mine.updated_at), mine.id ? `A walk under way has rows to read from id ${mine.id} on.` : "No walk is under way."]];
  }

  #snapshotsOf(t) {
    const s = this.#snapshots;
    if (!s) return null;
    if (s.failure) return section("Snapshots", h("p", { class: "empty" }, s.failure.message));
    const mine = s.filter((x) => x.object === t.object);
    if (mine.length === 0) return null;
    return section("Snapshots", scroll("Snapshots", h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ["Snapshot", "State", "Changed", "Progress", ""].map((x) => h("th", { scope: "col" }, x || h("span", { class: "hidden" }, "Actions"))))),
      h("tbody", {}, mine.map((x) => h("tr", { "data-key": x.id }, h("th", { scope: "row" }, h("code", {}, x.id)), h("td", {}, x.state, x.trace && h("p", { class: "message" }, x.trace)),
        h("td", {}, x.from || x.to ? [x.from ? ["from ", time(x.from), " "] : "", x.to ? ["until before ", time(x.to)] : ""] : "–"), h("td", {}, snapshotProgress(x)),
        h("td", {}, session.mayAct() && [
          x.state === "RUNNING" && action("snapshot-pause", "Pause", "", x.id),
          x.state === "PAUSED" && action("snapshot-resume", "Resume", "", x.id),
          (x.state === "RUNNING" || x.state === "PAUSED") && action("snapshot-cancel", "Cancel", "", x.id)])))))));
  }

  #course() {
    const r = this.#health.rate;
    return r && section("The last hour", h("p", { class: "hint" }, "Of all the connector's objects."), coursePlots(points(r)));
  }

  #requests() {
    const r = this.#health.rate;
    if (!r) return section("Requests to Coupa", h("p", { class: "empty" }, "Only the worker that runs the connector knows, and it did not tell."));
    const token = this.#health.token;
    const w = r.waiting;
    return section("Requests to Coupa",
      h("p", { class: "hint" }, "Of the whole instance: its objects share one limiter."),
      facts(
        ["Used", `${rate(r.used)} / s`, "Requests a second, of the last minute."],
        ["Allowed", r.limit || r.current ? `${rate(r.current)} / s` : "any", r.auto ? `What others leave over is found: coupa.rate.limit is auto, at most ${rate(r.limit)}.` : r.limit ? `The limit, coupa.rate.limit, is ${rate(r.limit)}.` : "There is no limit."],
        ["Throttled", r.throttled_since ? `for ${span((live.now() - Date.parse(r.throttled_since)) / 1000)}` : "no", r.throttled_since ? "Coupa answers 429 or 503; the rate comes back by itself." : ""],
        ["Waiting", count(w.poll + w.snapshot + w.backfill + w.sweep), `Polls ${w.poll}, snapshots ${w.snapshot}, backfills ${w.backfill}, sweeps ${w.sweep}.`],
        token && !token.trouble && token.expires_in_ms > 0 && ["Access token", `${span(token.age_ms / 1000, 1)} old`, `Expires in ${span(token.expires_in_ms / 1000)}; renewed before that.`]),
      ratePlot(points(r), r.auto ? 0 : r.limit));
  }

  #configuration() {
    const c = this.#config;
    if (!c) return null;
    const body = c.failure ? h("p", { class: "empty" }, c.failure.message)
      : scroll("Configuration", h("table", { class: "list config" },
        h("thead", {}, h("tr", {}, ["Key", "Value"].map((x) => h("th", { scope: "col" }, x)))),
        h("tbody", {}, Object.entries(c).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, k)), h("td", {}, h("code", {}, v)))))));
    return section("Configuration", h("p", { class: "hint" }, this.#health.from_file ? "From a file of the worker, and changed there. " : "Changed over REST. ", "Secrets are shown as references, or as [hidden]."), body);
  }
}

const points = (r) => r.history.map((p) => ({ ...p, at: Date.parse(p.at) }));

const chip = (kind) => h("span", { class: `state k-${kind.kind}`, title: kind.means }, mark(kind), kind.label);

const section = (title, ...body) => h("section", { "data-key": title, "aria-labelledby": id(title) }, h("h2", { id: id(title) }, title), ...body);
const id = (title) => `s-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;

const scroll = (label, table) => h("div", { class: "scroll", role: "region", "aria-label": `${label}: table`, tabindex: "0" }, table);

const facts = (...list) => h("dl", { class: "numbers" }, list.filter(Boolean).map(([name, value, means]) =>
  h("div", { "data-key": name }, h("dt", {}, name), h("dd", {}, value), means && h("dd", { class: "hint" }, means))));

const trouble = (title, text, remedy) => h("div", { class: "trouble" }, h("h2", {}, title), h("p", { class: "message" }, text), remedy && h("p", {}, h("b", {}, "What to do: "), remedy));

const action = (name, label, style, value) => h("button", { type: "button", class: style, "data-do": name, "data-value": value, "data-key": `${name} ${value ?? ""}` }, label);

// buttons are there for those alone who may use them.
function buttons(...list) {
  if (session.mayAct()) return h("div", { class: "buttons", role: "group", "aria-label": "Actions" }, ...list);
  return session.role ? h("p", { class: "hint" }, `Your role is ${session.role}: you see everything and change nothing.`) : null;
}

function fresh(t) {
  if (!t.proven || t.state === "PAUSED" || t.state === "STOPPED") return "–";
  return span((live.now() - Date.parse(t.proven)) / 1000);
}

// verified tells of the last comparison with Coupa.
function verified(v) {
  if (!v) return [["Proven until", "–", "No comparison of Coupa with the topic (coupastream verify) was told of."]];
  const found = Object.entries(v.found).map(([kind, n]) => `${kind} ${count(n)}`).join(", ");
  return [
    ["Proven until", time(v.proven_until), !v.proven_until ? "The last comparison found differences." : v.proven_from ? ["What is stamped since ", time(v.proven_from), " was found the same in Coupa and in the topic."] : "What is stamped before was found the same in Coupa and in the topic."],
    ["Verified at", time(v.at), [`${plural(v.rows, "row")} compared: ${found || "no difference"}`, v.requested ? `; ${plural(v.requested, "record")} there once more as asked for.` : "."]],
  ];
}

function snapshotProgress(x) {
  const rows = x.total ? `${count(x.rows)} of about ${count(x.total)} rows` : plural(x.rows, "row");
  return x.finished ? [`${rows}, ended at `, time(x.finished)] : x.left_ms ? `${rows}, about ${span(x.left_ms / 1000)} left` : rows;
}

const inFuture = (at) => {
  const seconds = (Date.parse(at) - live.now()) / 1000;
  return seconds > 0 ? `, in ${span(seconds)}` : "";
};

// progress of a backfill.
function progress(t) {
  const p = t.progress;
  if (!p) return t.backfilling ? h("p", {}, "A backfill is under way; how far it is, is not known yet.") : null;
  const left = p.left_ms ? `, about ${span(p.left_ms / 1000)} left` : "";
  if (!p.total) return h("p", {}, `Backfill: ${count(p.done)} rows so far${left}.`);
  const percent = Math.min(100, Math.floor((100 * p.done) / p.total));
  return h("div", { class: "progress" },
    h("label", { for: "progress" }, `Backfill: ${count(p.done)} of about ${count(p.total)} rows, ${percent} %${left}`),
    h("progress", { id: "progress", max: 100, value: percent }, `${percent} %`));
}
