// What the page knows, kept up by the events of the server.
//
// There is one stream a page: a browser opens few connections to a host, and the REST requests need theirs. A page that nobody sees has none.

// silence is how long the stream may say nothing, which it never does: then the connection is dead and nobody told the browser.
const silence = 25_000;
// published is how long back the rate of published records looks.
const window = 60_000;

class Live extends EventTarget {
  connectors = new Map(); // name → {name, tenant, state, …, tasks: Map of id → task}
  connection = "connecting"; // "live", "lost"
  reason = ""; // why it is lost
  trouble = ""; // why the server could not read the state the last time
  known = false; // there was a first event
  at = 0; // when the server read what is known; its clock
  #skew = 0; // the server's clock less this one
  #heard = Date.now();
  #id = "";
  #source = null;
  #tries = 0;
  #retry = 0;

  // now is the server's clock; where the connection is lost, the moment that what is known is of.
  now() {
    return this.connection === "live" ? Date.now() + this.#skew : this.at;
  }

  // age of what is known, in seconds.
  age() {
    return this.at ? Math.max(0, (Date.now() + this.#skew - this.at) / 1000) : Infinity;
  }

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
    globalThis.addEventListener("online", () => this.#open());
    setInterval(() => {
      if (this.#source && Date.now() - this.#heard > silence) {
        this.#lose("nothing was heard for a while");
        this.#open();
      }
    }, 1000);
    this.#open();
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#close();
    if (document.hidden) return;
    this.#heard = Date.now();
    const source = new EventSource(this.#id ? `events?after=${encodeURIComponent(this.#id)}` : "events");
    this.#source = source;
    source.addEventListener("health", (e) => {
      this.#id = e.lastEventId;
      const news = JSON.parse(e.data);
      this.#hear(news);
      this.#take(news);
    });
    source.addEventListener("heartbeat", (e) => {
      this.#hear(JSON.parse(e.data));
      this.dispatchEvent(new Event("connection"));
    });
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      // The browser tries again by itself, but not where the server answered with an error.
      if (source.readyState === EventSource.CLOSED) this.#ask();
      else this.#lose("the worker does not answer");
    });
  }

  // ask finds out why the server refuses the stream, which the browser does not tell, and tries again later.
  async #ask() {
    let reason;
    const gaveUp = new AbortController();
    try {
      const answer = await fetch(this.#id ? `events?after=${encodeURIComponent(this.#id)}` : "events", { signal: gaveUp.signal });
      reason = answer.ok ? "the worker ended the connection" : ((await answer.json().catch(() => null))?.message ?? `HTTP ${answer.status}`);
    } catch {
      reason = "the worker does not answer";
    }
    gaveUp.abort();
    this.#lose(reason);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), Math.min(30_000, 2000 * 2 ** this.#tries++));
  }

  #lose(reason) {
    const was = this.connection;
    this.connection = "lost";
    if (was !== "lost" || this.reason !== reason) {
      this.reason = reason;
      this.dispatchEvent(new Event("connection"));
    }
  }

  #hear({ at, now }) {
    this.#heard = Date.now();
    this.#skew = now - this.#heard;
    this.#tries = 0;
    this.at = at;
    this.connection = "live";
    this.reason = "";
  }

  #take(event) {
    const before = this.known && !event.full ? null : this.connectors;
    if (event.full) this.connectors = new Map();
    for (const [name, news] of Object.entries(event.connectors ?? {})) {
      const was = this.connectors.get(name) ?? before?.get(name);
      const c = { ...news, name, tasks: news.whole || !was ? new Map() : was.tasks, samples: was?.samples ?? [] };
      for (const [id, task] of Object.entries(news.tasks ?? {})) c.tasks.set(Number(id), { ...task, id: Number(id) });
      c.published = 0;
      for (const t of c.tasks.values()) c.published += t.published ?? 0;
      sample(c, event.at);
      this.connectors.set(name, c);
    }
    for (const name of event.removed ?? []) this.connectors.delete(name);
    this.trouble = event.trouble ?? "";
    this.known ||= event.at > 0;
    this.dispatchEvent(new CustomEvent("change", { detail: event }));
  }
}

// sample remembers how much was published when, for rateOf.
function sample(c, at) {
  const last = c.samples.at(-1);
  if (last && last.published > c.published) c.samples.length = 0; // its worker began anew
  c.samples.push({ at, published: c.published });
  while (c.samples.length > 2 && c.samples[1].at < at - window) c.samples.shift();
}

// rateOf is how many records a connector has published a second, of the last minute that the page has seen; null: it has not seen enough.
export function rateOf(c, now) {
  const from = c.samples.find((s) => s.at >= now - window) ?? c.samples.at(-1);
  if (!from) return null;
  const seconds = (now - from.at) / 1000;
  return seconds < 3 ? null : (c.published - from.published) / seconds;
}

// freshness of a task in seconds; null: not known, or nothing is asked of it.
export function freshness(task, now) {
  if (!task.proven || task.state === "PAUSED" || task.state === "STOPPED") return null;
  return Math.max(0, (now - task.proven) / 1000);
}

export const live = new Live();
