// What the page can do to a connector. Each is asked about first, in a dialog that says what will happen.
import { ask, pathOf, session } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";

const group = "It holds for the whole group of workers, and after they restart.";

// actions by what the page's buttons are called. of is {name, health, task}; task only where one object is shown.
const actions = {
  pause: {
    title: (of) => `Pause ${of.name}?`,
    says: (of) => [`${objects(of)} commit what they have in hand and read nothing more from Coupa. Consumers see no changes until it is resumed.`,
      "Positions are kept: nothing is lost. Resuming goes on from there.", group],
    button: "Pause",
    send: (of) => ask("PUT", pathOf(of.name, "/pause")),
    done: (of) => `${of.name} is asked to pause.`,
  },
  resume: {
    title: (of) => `Resume ${of.name}?`,
    says: (of) => [`${objects(of)} go on from the positions that they have committed. What changed in Coupa meanwhile is published, each change once.`, group],
    button: "Resume",
    send: (of) => ask("PUT", pathOf(of.name, "/resume")),
    done: (of) => `${of.name} is asked to go on.`,
  },
  stop: {
    title: (of) => `Stop ${of.name}?`,
    says: (of) => [`${objects(of)} commit what they have in hand, and end: they give back what they hold. Consumers see no changes until it is resumed.`,
      "Positions are kept, and while it is stopped they can be changed or reset.", group],
    button: "Stop",
    danger: true,
    send: (of) => ask("PUT", pathOf(of.name, "/stop")),
    done: (of) => `${of.name} is asked to stop.`,
  },
  restart: {
    title: (of) => `Restart ${of.name}?`,
    says: () => ["What is restarted ends, and begins again at the position that it has committed: nothing is lost or repeated. Where the cause of a failure is still there, it fails again."],
    fields: (of) => {
      const failed = of.health.tasks.filter((t) => t.state === "FAILED").length;
      return h("fieldset", {}, h("legend", {}, "Restart"),
        choice("what", "failed", `only what has failed: ${plural(failed, "object")}`, failed > 0),
        choice("what", "all", `the connector and all its objects: ${of.health.tasks.length}`, failed === 0));
    },
    button: "Restart",
    send: (of, form) => ask("POST", pathOf(of.name, `/restart?includeTasks=true&onlyFailed=${form.get("what") === "failed"}`)),
    done: (of) => `${of.name} is asked to restart.`,
  },
  "restart-task": {
    title: (of) => `Restart ${of.task.object} of ${of.name}?`,
    says: (of) => [`${of.task.object} ends, and begins again at the position that it has committed: nothing is lost or repeated. The other objects are not touched.`,
      of.task.state === "FAILED" && "Where the cause of the failure is still there, it fails again."],
    button: "Restart",
    send: (of) => ask("POST", pathOf(of.name, `/tasks/${of.task.id}/restart`)),
    done: (of) => `${of.task.object} of ${of.name} is asked to restart.`,
  },
  snapshot: {
    title: (of) => `Read ${of.task.object} of ${of.name} again?`,
    says: (of) => [`Rows are read from Coupa and published to ${of.task.topic} again, marked coupa.op=snapshot, while changes go on beside them.`,
      "It takes what polls leave of the rate limit, and can take long where there are many rows. Consumers get every row once more."],
    fields: () => h("fieldset", { class: "snapshot" }, h("legend", {}, "Which rows"),
      choice("rows", "all", "all", true),
      choice("rows", "range", "those that changed", false),
      h("div", { class: "nested" },
        h("label", {}, "from ", h("input", { type: "datetime-local", name: "from", step: "1" })),
        h("label", {}, "until before ", h("input", { type: "datetime-local", name: "to", step: "1" })),
        h("p", { class: "hint" }, "In your time zone; either may be empty.")),
      choice("rows", "ids", "these ids", false),
      h("div", { class: "nested" }, h("label", {}, "ids ", h("input", { type: "text", name: "ids", inputmode: "numeric", autocomplete: "off", placeholder: "4711, 4712" })))),
    button: "Read again",
    send: (of, form) => ask("POST", pathOf(of.name, "/snapshots"), snapshotRequest(of.task.object, form)),
    done: (of, answer) => `The snapshot of ${of.task.object} has begun${answer?.id ? `; its id is ${answer.id}` : ""}.`,
  },
  explain: {
    title: (of) => `Why is a row of ${of.task.object} of ${of.name} in its topic, or not?`,
    says: () => ["Coupa is asked for the row's stamps, and topics are read backwards. It can take a minute, and changes nothing."],
    fields: () => h("label", {}, "id ", h("input", { type: "text", name: "id", inputmode: "numeric", autocomplete: "off", placeholder: "4711" })),
    button: "Explain",
    send: (of, form) => ask("GET", pathOf(of.name, `/explain/${encodeURIComponent(of.task.object)}/${rowID(form.get("id").trim())}`)),
    done: (of, answer) => `${answer.object} ${answer.id}: ${answer.sentence} What to do: ${answer.next}`,
  },
  "deletes-approve": {
    title: (of) => `Approve the deletes of ${of.task.object} of ${of.name}?`,
    says: (of) => [`Coupa did not show ${plural(of.task.deletes.missing, "row")} of ${of.task.deletes.known}, such as ${of.task.deletes.examples.join(", ")}: ${of.task.deletes.why}.`,
      "Each is asked for once more; tombstones go out for those that are not there. Rows that are hidden from the API client look the same as deleted ones: see in Coupa first.",
      "The approval counts for these rows alone."],
    button: "Approve the deletes",
    danger: true,
    send: (of) => ask("POST", pathOf(of.name, `/deletes/${encodeURIComponent(of.task.object)}/approve`)),
    done: (of) => `The deletes of ${of.task.object} are approved.`,
  },
  "snapshot-cancel": {
    title: (of) => `Cancel the snapshot ${of.value}?`,
    says: () => ["It ends where it is. What it has published stays published; the stream of changes is not touched."],
    button: "Cancel the snapshot",
    danger: true,
    send: (of) => ask("DELETE", pathOf(of.name, `/snapshots/${encodeURIComponent(of.value)}`)),
    done: (of) => `The snapshot ${of.value} is cancelled.`,
  },
  "snapshot-pause": {
    title: (of) => `Pause the snapshot ${of.value}?`,
    says: () => ["It keeps its place, and reads nothing until it is resumed. The stream of changes is not touched."],
    button: "Pause the snapshot",
    send: (of) => ask("PUT", pathOf(of.name, `/snapshots/${encodeURIComponent(of.value)}/pause`)),
    done: (of) => `The snapshot ${of.value} is paused.`,
  },
  "snapshot-resume": {
    title: (of) => `Resume the snapshot ${of.value}?`,
    says: () => ["It goes on where it was paused."],
    button: "Resume the snapshot",
    send: (of) => ask("PUT", pathOf(of.name, `/snapshots/${encodeURIComponent(of.value)}/resume`)),
    done: (of) => `The snapshot ${of.value} goes on.`,
  },
};

const objects = (of) => (of.health.tasks.length === 1 ? "Its object" : `Its ${plural(of.health.tasks.length, "object")}`);

const choice = (name, value, label, checked) => h("label", { class: "choice" }, h("input", { type: "radio", name, value, checked }), ` ${label}`);

// rowID is an id that a person has given; it throws where that is none.
function rowID(text) {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new Error(`${text || "Nothing"} is not an id: give Coupa's internal id of the row, a whole number that stands on no document.`);
  return text;
}

// snapshotRequest reads the form; it throws what a person can mend.
function snapshotRequest(object, form) {
  const rows = form.get("rows");
  if (rows === "ids") {
    const ids = form.get("ids").split(/[\s,;]+/).filter(Boolean);
    if (ids.length === 0) throw new Error("Give at least one id, or choose other rows.");
    const bad = ids.find((id) => !/^[1-9]\d{0,14}$/.test(id));
    if (bad) throw new Error(`${bad} is not an id: give whole numbers with commas between them.`);
    return { object, ids: ids.map(Number) };
  }
  if (rows === "range") {
    const [from, to] = ["from", "to"].map((k) => (form.get(k) ? new Date(form.get(k)) : null));
    if (!from && !to) throw new Error("Give at least one end of the range, or choose all rows.");
    if (from && to && from >= to) throw new Error("The range ends before it begins.");
    const written = (date) => date?.toISOString().replace(".000Z", "Z");
    return { object, from: written(from), to: written(to) };
  }
  return { object };
}

export const known = (name) => name in actions;

// offer asks about an action and carries it out. done is called after the worker has accepted it.
export function offer(name, of, done) {
  const action = actions[name];
  const dialog = document.getElementById("dialog");
  const title = h("h2", { id: "dialog-title" }, action.title(of));
  const failure = h("p", { class: "failure", role: "alert" });
  const cancel = h("button", { type: "button", autofocus: true }, "Cancel");
  const go = h("button", { type: "submit", class: action.danger ? "danger" : "primary" }, action.button);
  const form = h("form", {}, title, action.says(of).filter(Boolean).map((p) => h("p", {}, p)), action.fields?.(of), failure, h("div", { class: "buttons" }, cancel, go));
  // Whoever fills in what belongs to a choice has chosen it.
  form.addEventListener("input", (e) => {
    const radio = e.target.closest(".nested")?.previousElementSibling?.querySelector("input");
    if (radio) radio.checked = true;
  });
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    if (go.getAttribute("aria-disabled")) return;
    failure.textContent = "";
    go.setAttribute("aria-disabled", "true");
    go.textContent = "Asking the worker…";
    try {
      const answer = await action.send(of, new FormData(form));
      if (form.isConnected) dialog.close();
      done(action.done(of, answer));
    } catch (error) {
      const text = error.status === 403 ? `${error.message} Your role allows to look, not to change.` : error.message;
      if (error.status === 403) await session.load().catch(() => {});
      failure.textContent = `Not done: ${text}`;
      if (!form.isConnected || !dialog.open) done(`${action.title(of).replace("?", "")}: not done. ${text}`, true);
    } finally {
      go.removeAttribute("aria-disabled");
      go.textContent = action.button;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}
