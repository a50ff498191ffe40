// What a task can be in, worst first: Kafka Connect's state, or the condition of a RUNNING task. Each has a shape beside its colour.
export const kinds = [
  { kind: "failed", level: 0, mark: "✕", label: "Failed", means: "does not work; the cause and the remedy stand in its detail" },
  { kind: "stuck", level: 1, mark: "▲", label: "Stuck", means: "nothing was proven for much longer than its polls take" },
  { kind: "blind", level: 1, mark: "◆", label: "Blind", means: "a scope is missing, or nothing is there where rows used to be" },
  { kind: "incomplete", level: 1, mark: "◧", label: "Incomplete", means: "a topic was deleted and made again, and lacks what was published before" },
  { kind: "waiting", level: 1, mark: "◈", label: "Waiting", means: "a sweep for deletes waits for somebody's approval" },
  { kind: "unassigned", level: 1, mark: "?", label: "Unassigned", means: "no worker runs it, or the one that does can't be asked" },
  { kind: "unmarked", level: 2, mark: "◫", label: "Unmarked", means: "publishes rows, and can't mark them as exported in Coupa" },
  { kind: "throttled", level: 2, mark: "▼", label: "Throttled", means: "Coupa, or a quota of Kafka, slows it down" },
  { kind: "backfilling", level: 3, mark: "◐", label: "Backfilling", means: "reads what was there before the stream began, and follows changes beside it" },
  { kind: "busy", level: 4, mark: "●", label: "Busy", means: "publishes changes" },
  { kind: "idle", level: 4, mark: "○", label: "Idle", means: "looked, and there was nothing new" },
  { kind: "running", level: 4, mark: "·", label: "Running", means: "has begun, and has not looked yet" },
  { kind: "paused", level: 5, mark: "‖", label: "Paused", means: "on request; its position is kept" },
  { kind: "stopped", level: 5, mark: "■", label: "Stopped", means: "on request; its position is kept and can be changed" },
];

const byName = new Map(kinds.map((k) => [k.kind.toUpperCase(), k]));

// kindOf a task, or of a connector, which has no condition.
export function kindOf({ state, condition }) {
  const name = state === "RUNNING" ? condition || state : state;
  return byName.get(name) ?? { kind: "other", level: 1, mark: "?", label: name, means: "this page does not know" };
}

// problem: somebody should look.
export const problem = (kind) => kind.level <= 1;

// worst of a connector and its tasks.
export function worst(c) {
  let w = kindOf(c);
  if (c.token_error && w.level > 1) w = byName.get("STUCK");
  for (const t of c.tasks.values()) {
    const k = kindOf(t);
    if (k.level < w.level) w = k;
  }
  // A connector that should run is as its tasks are: the best of them can't be better than it.
  if (w.kind === "running" && c.tasks.size > 0) {
    w = [...c.tasks.values()].map(kindOf).reduce((a, b) => (kinds.indexOf(b) < kinds.indexOf(a) ? b : a));
  }
  return w;
}
