"""A round of DataHub's kafka-connect ingestion against two workers of one group: ingest.py A B NAME CONFIG.

It has the command line read worker A, and worker B, by the recipe that deploy/OPERATING.md shows, but into a file, and ends with a traceback where what DataHub
would show is not the connector, and its topics as what the tenant's data flows to.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml


def ask(url, method, path, body=None):
    request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or "null")


def until(what, holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def ingest(recipe):
    """What goes to DataHub, as (URN, aspect): value, and what the command line prints."""
    with tempfile.TemporaryDirectory() as folder:
        recipe["sink"] = {"type": "file", "config": {"filename": folder + "/out.json"}}
        with open(folder + "/recipe.yaml", "w") as f:
            yaml.safe_dump(recipe, f)
        ran = subprocess.run(
            [os.path.dirname(sys.executable) + "/datahub", "ingest", "run", "-c", folder + "/recipe.yaml", "--no-default-report", "--strict-warnings"],
            env=dict(os.environ, DATAHUB_TELEMETRY_ENABLED="false", HOME=folder), capture_output=True, text=True, timeout=300)
        told = ran.stdout + ran.stderr
        out = json.load(open(folder + "/out.json")) if os.path.exists(folder + "/out.json") else []
    return {(m["entityUrn"], m["aspectName"]): m["aspect"]["json"] for m in out}, ran.returncode, told


def main(a, b, name, config):
    config = json.loads(config)
    ask(a, "POST", "/connectors", {"name": name, "config": config})
    until("b to know it", lambda: name in ask(b, "GET", "/connectors"))
    topics = sorted(f"{config['tenant']}.{object}" for object in config["coupa.objects"].split(", "))
    with open(os.path.dirname(__file__) + "/recipe.yaml") as f:
        recipe = yaml.safe_load(f)
    source = recipe["source"]["config"]
    source["connector_patterns"] = {"allow": [name]}  # of the group, those of other clients go on
    source["generic_connectors"][0]["connector_name"] = name
    flow = f"urn:li:dataFlow:(kafka-connect,{name},PROD)"
    for url in (a, b):
        source["connect_uri"] = url
        shown, status, told = ingest(recipe)
        assert status == 0, told
        assert shown[flow, "dataFlowInfo"]["name"] == name, shown
        assert shown[flow, "dataFlowInfo"]["description"] == "Source connector using `CoupaSource` plugin.", shown
        jobs = {urn: value for (urn, aspect), value in shown.items() if aspect == "dataJobInputOutput"}
        assert {urn: value["outputDatasets"] for urn, value in jobs.items()} == {
            f"urn:li:dataJob:({flow},acme.coupahost.com.{topic})": [f"urn:li:dataset:(urn:li:dataPlatform:kafka,{topic},PROD)"] for topic in topics}, shown
        for value in jobs.values():
            assert value["inputDatasets"] == ["urn:li:dataset:(urn:li:dataPlatform:coupa,acme.coupahost.com,PROD)"], value
    # Of a connector that the recipe does not name nothing is shown, as of any source connector that DataHub does not know.
    del source["generic_connectors"]
    shown, status, told = ingest(recipe)
    assert status != 0 and not shown and "generic_connectors" in told, told
    ask(a, "DELETE", f"/connectors/{name}")
    until("b to know it", lambda: name not in ask(b, "GET", "/connectors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
