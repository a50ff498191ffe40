// A round of a Kafka Connect client for Node.js against two workers of one group: round.js A B NAME CONFIG.
//
// What is asked of worker A is looked for at worker B, and the other way round. It ends with an exception where an answer is not what the client makes of Connect's.
const assert = require("node:assert");
const { KafkaConnectClient } = require("kafka-connect-client");

const [urlA, urlB, name, text] = process.argv.slice(2);
const config = JSON.parse(text);
const client = (url) => new KafkaConnectClient({ protocol: "http", host: new URL(url).hostname, port: Number(new URL(url).port) });

async function until(what, holds) {
  for (let i = 0; ; i++) {
    if (await holds()) return;
    assert(i < 300, what);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function main() {
  const [a, b] = [client(urlA), client(urlB)];
  const [one, other] = [a.connector(name), b.connector(name)];
  await assert.rejects(one.pause(), (e) => e.response.status === 415); // axios calls nothing a form, which Connect refuses too
  for (const c of [one, other]) c.axios.defaults.headers.common["Content-Type"] = "application/json";
  const states = async (c) => {
    const { data } = await c.getStatus();
    return [data.connector.state, ...data.tasks.map((t) => t.state)].join(" ");
  };
  assert((await a.getCluster()).data.kafka_cluster_id);
  assert.deepEqual((await b.getConnectorPlugins()).data.map((p) => p.class), ["CoupaSource"]);
  assert.equal((await b.validateConnectorConfig("CoupaSource", { ...config, name })).data.error_count, 0);
  const made = await a.createConnector(name, config);
  assert.equal(made.status, 201);
  assert.deepEqual(made.data.config, { ...config, name });
  await assert.rejects(a.createConnector(name, config), (e) => e.response.status === 409 && e.response.data.message === `Connector ${name} already exists`);
  await until("b to know it", async () => (await b.getConnectors()).data.includes(name));
  await until("it to run", async () => (await states(other)) === "RUNNING RUNNING RUNNING");
  assert.equal((await b.getConnectors({ expand: "status" })).data[name].status.connector.state, "RUNNING");
  assert.deepEqual((await other.getConfig()).data, { ...config, name });
  assert.equal((await other.get()).data.type, "source");
  assert.equal((await other.pause()).status, 202);
  await until("it to be paused", async () => (await states(one)) === "PAUSED PAUSED PAUSED");
  assert.equal((await one.resume()).status, 202);
  await until("it to be resumed", async () => (await states(other)) === "RUNNING RUNNING RUNNING");
  for (const c of [one, other]) {
    assert.equal((await c.restart({ includeTasks: true })).status, 204); // it sends them in the body
    assert.equal((await c.restartTask(1)).status, 204);
    assert.equal((await c.getTaskStatus(1)).data.id, 1);
    assert.equal((await c.getTasks()).data.length, 2);
    assert.equal((await c.resetTopics()).status, 202);
  }
  await until("positions", async () => (await other.getOffsets()).data.offsets.length === 2);
  const moved = [{ partition: { tenant: name, object: "suppliers" }, offset: { updated_at: "2024-01-01T00:00:00Z" } }];
  await assert.rejects(other.alterOffsets(moved), (e) => e.response.status === 400 && /must be in the STOPPED state/.test(e.response.data.message));
  assert.equal((await one.stop()).status, 204);
  await until("it to be stopped", async () => (await states(other)) === "STOPPED");
  assert.match((await other.alterOffsets(moved)).data.message, /altered successfully/);
  const at = (await one.getOffsets()).data.offsets.find((o) => o.partition.object === "suppliers");
  assert.equal(at.offset.updated_at, "2024-01-01T00:00:00Z");
  assert.match((await one.resetOffsets()).data.message, /reset successfully/);
  assert.deepEqual((await other.getOffsets()).data.offsets, []);
  assert.equal((await other.updateConfig({ ...config, "tasks.max": "7" })).data.config["tasks.max"], "7");
  assert.equal((await one.delete()).status, 204);
  await until("b to know it", async () => !(await b.getConnectors()).data.includes(name));
  await assert.rejects(other.getStatus(), (e) => e.response.status === 404);
}

main();
