// The page: which view is shown, what stands around it, and what reaches it: events of the server, clicks, time.
import { known, offer } from "./actions.js";
import { session } from "./api.js";
import { Detail } from "./detail.js";
import { span, plural, time } from "./format.js";
import { live } from "./live.js";
import { Overview } from "./overview.js";
import { kindOf } from "./states.js";

const main = document.getElementById("main");
let view;
let shown = null; // the path of the view; what follows a ? is the view's own

// route shows what the address says: #/?query, #/connectors/NAME, #/connectors/NAME/OBJECT.
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  if (path === "main") return; // the skip link
  if (path === shown && path !== "") return;
  const first = shown === null;
  shown = path;
  view?.unmount?.();
  const [kind, name, object] = path.split("/").map(decode);
  view = kind === "connectors" && name ? new Detail(name, object) : new Overview(new URLSearchParams(query));
  view.mount(main);
  document.title = `${view.title} · coupastream`;
  if (!first) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// around draws what tells how good the view is: the connection, and the age of what is shown.
function around() {
  const age = live.age();
  const stale = live.connection === "live" && age > 30;
  const box = document.getElementById("connection");
  box.dataset.state = live.connection === "live" && (stale || live.trouble) ? "stale" : live.connection;
  document.getElementById("connection-text").textContent =
    live.connection === "lost" ? "Connection lost"
    : !live.known ? "Connecting…"
    : stale || live.trouble ? `Not up to date: ${span(age, 1)} old`
    : age < 15 ? "Live" : `Live, ${span(age, 1)} old`;
  const banner = document.getElementById("lost");
  const words =
    live.connection === "lost" ? ["The connection is lost: ", live.reason, ". ", live.known ? ["What is shown is of ", time(live.at), `, ${span(age)} ago. `] : "", "It is tried again by itself."]
    : live.trouble && live.known ? ["The worker can't read the state of the connectors: ", live.trouble, ". What is shown is of ", time(live.at), "."]
    : null;
  banner.hidden = !words;
  banner.replaceChildren(...(words ?? []).flat());
  document.body.classList.toggle("lost", live.connection === "lost");
  const role = document.getElementById("role");
  role.hidden = session.role === "" || (session.role === "admin" && !session.user);
  role.textContent = [session.user, session.role === "admin" ? "" : session.role].filter(Boolean).join(", ");
}

const announced = { at: 0, failed: null, connection: "connecting" };

// announce tells those who don't see the page what matters, once in ten seconds at most.
function announce() {
  const box = document.getElementById("announce");
  if (live.connection !== announced.connection) {
    if (live.connection === "lost") box.textContent = "The connection is lost.";
    else if (announced.connection === "lost") box.textContent = "The connection is back.";
    announced.connection = live.connection;
  }
  if (!live.known || Date.now() - announced.at < 10_000) return;
  const failed = new Set();
  for (const c of live.connectors.values()) for (const t of c.tasks.values()) if (kindOf(t).level <= 1) failed.add(`${t.object} of ${c.name}`);
  if (announced.failed) {
    const news = [...failed].filter((f) => !announced.failed.has(f)), good = [...announced.failed].filter((f) => !failed.has(f));
    const list = (some, one, many) => (some.length === 0 ? "" : some.length <= 2 ? `${some.join(" and ")} ${some.length === 1 ? one : many}. ` : `${plural(some.length, "object")} ${many}. `);
    const text = list(news, "has a problem", "have a problem") + list(good, "is well again", "are well again");
    if (text) {
      box.textContent = text;
      announced.at = Date.now();
    }
  }
  announced.failed = failed;
}

// result says how an action went, until it is closed or another takes its place.
function result(text, bad) {
  const box = document.getElementById("result");
  box.querySelector("p").textContent = text;
  box.classList.toggle("bad", Boolean(bad));
  box.hidden = false;
}

document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-do]");
  if (!button) return;
  const { do: name, value } = button.dataset;
  if (name === "close-result") document.getElementById("result").hidden = true;
  else if (known(name)) {
    offer(name, { ...view.subject(), value }, (text, bad) => {
      result(text, bad);
      view.refresh?.();
    });
  } else view.act(name, value);
});

// The skip link is no address of a view.
document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault();
  main.focus();
  main.scrollIntoView();
});

const theme = document.getElementById("theme");
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("coupastream.theme", theme.value);
  } catch {
    // not kept for the next visit
  }
});

let drawn = 0;

function draw(event) {
  drawn = Date.now();
  around();
  announce();
  if (!document.hidden) view.draw(event);
}

// A file of the page that could not be loaded, or a fault in it, should not look like a quiet system.
globalThis.addEventListener("error", (e) => result(`This page has a fault: ${e.message}. Reload it; if that does not help, the REST API tells the same.`, true));

addEventListener("hashchange", route);
live.addEventListener("change", (e) => draw(e.detail));
live.addEventListener("connection", () => draw());
// Time passes: ages grow. Where an event came within the second, they were drawn with it.
setInterval(() => Date.now() - drawn > 900 && draw(), 1000);
session.load().catch(() => {}).finally(() => {
  route();
  live.start();
});
