"""Compares what fastavro reads from the golden bytes with values made from the rows here, by the rules alone."""

import datetime as dt
import decimal
import json
import pathlib
import re
import sys

import fastavro

decimal.getcontext().prec = 100
MISFIT = object()


SPACE = re.compile(r"[\s,:]*")


def raw_members(text):
    """Gives the members of an object as the texts that were sent."""
    decoder, at, members = json.JSONDecoder(), text.index("{") + 1, {}
    while True:
        at = SPACE.match(text, at).end()
        if text[at] == "}":
            return members
        key, at = decoder.raw_decode(text, at)
        at = SPACE.match(text, at).end()
        _, end = decoder.raw_decode(text, at)
        members[key], at = text[at:end], end


def raw_elements(text):
    """Gives the elements of a list as the texts that were sent."""
    decoder, at, elements = json.JSONDecoder(), text.index("[") + 1, []
    while True:
        at = SPACE.match(text, at).end()
        if text[at] == "]":
            return elements
        _, end = decoder.raw_decode(text, at)
        elements.append(text[at:end])
        at = end


def instant(s):
    return dt.datetime.fromisoformat(s.replace("Z", "+00:00")).astimezone(dt.timezone.utc)


def number(v, schema):
    d = decimal.Decimal(str(v))
    scaled = d.scaleb(schema["scale"])
    if scaled != scaled.to_integral_value() or abs(scaled) >= decimal.Decimal(10) ** schema["precision"]:
        return MISFIT
    return d


def value(t, v, raw):
    if isinstance(t, list):
        return None if v is None else value(t[1], v, raw)
    logical = t.get("logicalType") if isinstance(t, dict) else None
    kind = t["type"] if isinstance(t, dict) else t
    if kind == "string":
        return v if isinstance(v, str) else MISFIT if isinstance(v, (dict, list)) else raw
    if v == "" or kind in ("record", "map") and v == []:
        return None
    if kind == "map":
        return {k: x for k, x in raw_members(raw).items() if x != "null"} or None
    if kind == "array":
        return elements(t, v, raw)
    if kind == "record":
        return record(t, v, raw) if isinstance(v, dict) else MISFIT
    if isinstance(v, (dict, list)):
        return MISFIT
    if logical == "decimal":
        return number(v, t)
    if logical == "timestamp-millis":
        return instant(v)
    if logical == "date":
        return dt.date.fromisoformat(v[:10])
    return {"boolean": bool, "double": float, "long": int, "int": int}[kind](v)


def elements(t, v, raw):
    if isinstance(v, dict):
        v, raw = [v], "[" + raw + "]"
    null_stays = isinstance(t["items"], list)
    got = [value(t["items"], x, r) for x, r in zip(v, raw_elements(raw)) if x not in (None, "") or null_stays]
    return MISFIT if MISFIT in got else got


def record(t, v, raw):
    out, known, kept = {}, set(), {}
    raw = raw_members(raw)
    keys = {f.get("coupa.name") for f in t["fields"]}
    for f in t["fields"]:
        key = f.get("coupa.name")
        twin = key and key.replace("-", "_")
        if key not in raw and twin in raw and twin not in keys:
            key = twin
        known.add(key)
        out[f["name"]] = value(resolved(f["type"]), v.get(key), raw.get(key))
        if out[f["name"]] is MISFIT:
            out[f["name"]], kept[key] = None, raw[key]
    kept.update({k: x for k, x in raw.items() if k not in known and x != "null"})
    out["unmapped"] = kept or None
    return out


RECORDS = {}


def define(t):
    """Notes every record of a schema under its name."""
    if isinstance(t, list):
        for x in t:
            define(x)
    elif isinstance(t, dict) and t["type"] == "record":
        RECORDS[t["name"]] = t
        for f in t["fields"]:
            define(f["type"])
    elif isinstance(t, dict) and t["type"] == "array":
        define(t["items"])


def resolved(t):
    """Replaces the names of records by their schemas."""
    if isinstance(t, list):
        return [resolved(x) for x in t]
    if isinstance(t, dict) and t["type"] == "array":
        return {"type": "array", "items": resolved(t["items"])}
    return RECORDS.get(t, t) if isinstance(t, str) else t


def empty_to_none(v, top=True):
    """An associated record without any value is null; one in a list stays."""
    for key, x in list(v.items()):
        if isinstance(x, dict) and key not in ("custom_fields", "unmapped"):
            v[key] = empty_to_none(x, False)
    return v if top or any(x is not None for x in v.values()) else None


def agrees(name, avsc, row):
    RECORDS.clear()
    schema = json.load(open(avsc))
    define(schema)
    text = open(row).read()
    want = empty_to_none(record(schema, json.loads(text, parse_float=decimal.Decimal), text))
    if "ratio" in want:
        want["ratio"] = None if want["ratio"] is None else float(want["ratio"])
    with open(name + ".avro", "rb") as f:
        got = fastavro.schemaless_reader(f, json.load(open(avsc)))
        rest = f.read()
    same = not rest and got.keys() == want.keys()
    for key in want:
        if got[key] != want[key]:
            same = False
            print(f"{name}: {key} differs:\n  read {got[key]!r}\n  want {want[key]!r}")
    print(name, "agrees" if same else "differs")
    return same


cases = [("values", "sample.avsc", "values.json"), ("long-lists", "sample.avsc", "long-lists.json")]
ROWS = pathlib.Path("../rows")
for row in sorted(ROWS.rglob("*.json")):
    path = row.relative_to(ROWS).with_suffix("")
    cases.append((str(path), f"../../avsc/{path}.avsc", row))
sys.exit(not all([agrees(*case) for case in cases]))
