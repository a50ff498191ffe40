"""A round of a Kafka Connect client in Python against two workers of one group: round.py kafka-connect-py|kafka-connect-api A B NAME CONFIG.

What is asked of worker A is looked for at worker B, and the other way round. It ends with a traceback where an answer is not what the client makes of Connect's.
"""

import json
import sys
import time


def until(what, ask):
    """Waits for what Connect, too, lets come a little later."""
    end = time.monotonic() + 60
    while True:
        got = ask()
        if got:
            return got
        assert time.monotonic() < end, what
        time.sleep(0.2)


def states(status):
    return [status["connector"]["state"]] + [t["state"] for t in status["tasks"]]


def kafka_connect_py(a, b, name, config):
    from kafka_connect import KafkaConnect

    a, b = KafkaConnect(url=a), KafkaConnect(url=b)
    info = a.get_cluster_info()
    assert int(info["version"].split(".")[0]) >= 4 and info["kafka_cluster_id"], info
    assert name not in b.list_connectors()
    assert [p["class"] for p in a.list_connector_plugins()] == ["CoupaSource"]
    checked = b.validate_connector_config("CoupaSource", dict(config, name=name))
    assert checked["error_count"] == 0, checked
    made = a.create_connector({"name": name, "config": config})
    assert made["config"] == dict(config, name=name), made
    until("b to know it", lambda: name in b.list_connectors())
    until("it to run", lambda: states(b.get_connector_status(name)) == ["RUNNING"] * 3)
    assert b.get_connector_config(name) == dict(config, name=name)
    listed = b.list_connectors(expand="status", pattern=name)
    assert listed[name]["status"]["connector"]["state"] == "RUNNING", listed
    assert a.list_connectors(state="RUNNING", expand="status"), "those that run"
    b.pause_connector(name)
    until("it to be paused", lambda: states(a.get_connector_status(name)) == ["PAUSED"] * 3)
    a.resume_connector(name)
    until("it to be resumed", lambda: states(b.get_connector_status(name)) == ["RUNNING"] * 3)
    for ask in (a, b):
        ask.restart_connector(name)
        ask.restart_connector(name, include_tasks=True, only_failed=False)
        ask.restart_connector_task(name, 1)
        assert ask.get_connector_task_status(name, 1)["id"] == 1
    assert [t["id"]["task"] for t in a.list_connector_tasks(name)] == [0, 1]
    assert len(b.list_connector_topics(name)[name]["topics"]) == 2
    b.reset_connector_topics(name)
    a.stop_connector(name)
    until("it to be stopped", lambda: states(b.get_connector_status(name)) == ["STOPPED"])
    changed = b.update_connector(name, dict(config, **{"tasks.max": "7"}))
    assert changed["config"]["tasks.max"] == "7", changed
    until("a to know it", lambda: a.get_connector(name)["config"].get("tasks.max") == "7")
    a.delete_connector(name)
    until("b to know it", lambda: name not in b.list_connectors())


def kafka_connect_api(a, b, name, config):
    from kafka_connect_api.errors import GenericNotFound
    from kafka_connect_api.kafka_connect_api import Api, Cluster, Connector

    def exists(connector):
        try:
            return connector.exists()  # it says True, or raises
        except GenericNotFound:
            return False

    a, b = (Cluster(Api(hostname="127.0.0.1", port=int(url.rsplit(":", 1)[1]))) for url in (a, b))
    assert a.version and a.kafka_cluster == b.kafka_cluster
    one, other = Connector(a, name), Connector(b, name)
    assert not exists(one)
    one.config = config
    until("b to know it", lambda: exists(other))
    assert other.config == dict(config, name=name) and name in b.connectors
    until("it to run", lambda: other.state == "RUNNING" and len(other.tasks) == 2 and all(t.is_running() for t in other.tasks))
    one.pause()
    until("it to be paused", lambda: other.state == "PAUSED")
    other.resume()
    until("it to be resumed", lambda: one.state == "RUNNING")
    for connector in (one, other):
        connector.restart()
        connector.restart_all_tasks()
        connector.cycle_connector()
    until("it to run again", lambda: states(other.status) == ["RUNNING"] * 3)
    assert a.root_logger["level"] == "INFO", a.loggers
    a.set_logger_log_level("rest", "DEBUG")
    assert a.loggers["rest"]["level"] == "DEBUG" and b.loggers["rest"]["level"] == "INFO"
    one.delete()
    until("b to know it", lambda: not exists(other))
    try:
        Connector(b, name).status
    except GenericNotFound:
        return
    raise AssertionError("a connector that was deleted has a status")


if __name__ == "__main__":
    which, a, b, name, config = sys.argv[1:]
    globals()[which.replace("-", "_")](a, b, name, json.loads(config))
