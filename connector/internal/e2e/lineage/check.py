"""Reads OpenLineage events, a line each, into the types of openlineage-python: check.py FILE

Each event, and each facet by its _schemaURL, is made one of the library's own, which knows no members but the specification's. What
the library then writes must be what was read.
"""

import json
import pkgutil
import sys
import typing
from importlib import import_module

import attr
from openlineage.client import generated
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.serde import Serde

modules = [import_module(f"{generated.__name__}.{m.name}") for m in pkgutil.iter_modules(generated.__path__)]
known = {name: value for m in modules for name, value in vars(m).items() if attr.has(value)}


def made(cls, value, module):
    """Makes value, a part of a facet, one of cls, as far as that is a type of the library's."""
    inner = [a for a in typing.get_args(cls) if a is not type(None)]
    if typing.get_origin(cls) is list:
        return [made(inner[0], v, module) for v in value]
    if typing.get_origin(cls) is dict:
        return {k: made(inner[1], v, module) for k, v in value.items()}
    if inner:
        return made(inner[0], value, module)
    if not attr.has(cls):
        return value
    types = typing.get_type_hints(cls, vars(typing) | vars(sys.modules[cls.__module__]))
    return cls(**{name: made(types[name], v, module) for name, v in value.items() if not name.startswith("_")})


def facets(all):
    for name, f in all.items():
        url = f["_schemaURL"]
        cls = known[url.rsplit("/", 1)[1]]
        # the library may know a later version, of the same major one
        assert cls._get_schema().split("/")[-4:-3][0].split("-")[0] == url.split("/")[-4:-3][0].split("-")[0], (url, cls._get_schema())
        all[name] = made(cls, f, cls.__module__)
    return all


def event(e):
    return RunEvent(
        eventTime=e["eventTime"], producer=e["producer"], eventType=RunState(e["eventType"]),
        run=Run(e["run"]["runId"], facets(e["run"]["facets"])), job=Job(e["job"]["namespace"], e["job"]["name"], facets(e["job"]["facets"])),
        inputs=[InputDataset(d["namespace"], d["name"], facets=facets(d.get("facets", {}))) for d in e["inputs"]],
        outputs=[OutputDataset(d["namespace"], d["name"], facets=facets(d.get("facets", {}))) for d in e["outputs"]],
    )


def plain(v):
    """What is compared: without what is empty, and without the addresses that the library puts there itself."""
    if isinstance(v, dict):
        return {k: p for k, m in v.items() if k not in ("_producer", "_schemaURL", "schemaURL", "producer") and (p := plain(m)) not in (None, [], {}, "")}
    return [plain(m) for m in v] if isinstance(v, list) else v


n = 0
with open(sys.argv[1]) as lines:
    for n, line in enumerate(lines, 1):
        written = json.loads(Serde.to_json(event(json.loads(line))))
        assert plain(written) == plain(json.loads(line)), f"line {n}: the library writes {json.dumps(plain(written))[:2000]}"
assert n, "no events"
print(f"{n} events read by openlineage-python")
