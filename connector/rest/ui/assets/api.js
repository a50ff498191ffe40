// Requests to the REST API, which lies beside the page.

// Refused is an answer that is an error, with the worker's words.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// ask sends a request and returns the answer's JSON, null where it has none. The header shows the worker that this page sends it: another site's form can't set one.
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(`../${path}`, {
      method,
      headers: { Accept: "application/json", "X-Requested-With": "coupastream", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(100_000), // a worker gives up after 90 s
    });
  } catch (e) {
    throw new Refused(0, e.name === "TimeoutError" ? "The worker did not answer in time; what was asked for may still happen." : "The worker does not answer.");
  }
  const text = await answer.text();
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    if (answer.ok) throw new Refused(answer.status, "The answer is not JSON: something between this page and the worker answers for it.");
  }
  if (!answer.ok) throw new Refused(answer.status, json?.message ?? `The worker answered with HTTP ${answer.status}.`);
  return json;
}

// pathOf a connector, and of what is below it.
export const pathOf = (name, below = "") => `connectors/${encodeURIComponent(name)}${below}`;

// session is who looks at the page, and may do what.
export const session = {
  role: "",
  user: "",
  async load() {
    Object.assign(this, await ask("GET", "ui/session"));
  },
  mayAct() {
    return this.role === "admin";
  },
};
