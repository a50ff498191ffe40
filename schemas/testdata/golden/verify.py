"""Compares what fastavro reads from the golden bytes with values made from the rows here, by the rules alone."""

import datetime as dt
import decimal
import json
import re
import sys

import fastavro

decimal.getcontext().prec = 100
MISFIT = object()


def raw_members(text):
    """Gives the top members of a row as the texts that were sent."""
    decoder, at, members = json.JSONDecoder(), text.index("{") + 1, {}
    space = re.compile(r"[\s,:]*")
    while True:
        at = space.match(text, at).end()
        if text[at] == "}":
            return members
        key, at = decoder.raw_decode(text, at)
        at = space.match(text, at).end()
        _, end = decoder.raw_decode(text, at)
        members[key], at = text[at:end], end


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
        return v
    if kind == "map":
        return {k: x for k, x in raw_members(raw).items() if x != "null"} or None
    if kind == "array":
        null_stays = isinstance(t["items"], list)
        return [value(t["items"], x, None) for x in v if x is not None or null_stays]
    if kind == "record":
        return record(t, v, raw)
    if v == "":
        return None
    if logical == "decimal":
        return number(v, t)
    if logical == "timestamp-millis":
        return instant(v)
    if logical == "date":
        return dt.date.fromisoformat(v[:10])
    return {"boolean": bool, "double": float, "long": int, "int": int}[kind](v)


def record(t, v, raw):
    out, known, kept = {}, {f.get("coupa.name") for f in t["fields"]}, {}
    raw = raw_members(raw) if raw else {k: json.dumps(x) for k, x in v.items()}
    for f in t["fields"]:
        key = f.get("coupa.name")
        out[f["name"]] = value(resolved(f["type"]), v.get(key), raw.get(key))
        if out[f["name"]] is MISFIT:
            out[f["name"]], kept[key] = None, raw[key]
    kept.update({k: x for k, x in raw.items() if k not in known and x != "null"})
    out["unmapped"] = kept or None
    return out


RECORDS = {}


def resolved(t):
    """Replaces the names of records by their schemas."""
    if isinstance(t, list):
        return [resolved(x) for x in t]
    if isinstance(t, dict) and t["type"] == "record":
        RECORDS[t["name"]] = t
    if isinstance(t, dict) and t["type"] == "array":
        return {"type": "array", "items": resolved(t["items"])}
    return RECORDS.get(t, t) if isinstance(t, str) else t


def empty_to_none(v, top=True):
    """An associated record without any value is null; one in a list stays."""
    for key, x in list(v.items()):
        if isinstance(x, dict) and key not in ("custom_fields", "unmapped"):
            v[key] = empty_to_none(x, False)
    return v if top or any(x is not None for x in v.values()) else None


schema = json.load(open("sample.avsc"))
failed = False
for name in ("values", "long-lists"):
    text = open(name + ".json").read()
    want = empty_to_none(record(schema, json.loads(text, parse_float=decimal.Decimal), text))
    want["ratio"] = None if want["ratio"] is None else float(want["ratio"])
    with open(name + ".avro", "rb") as f:
        got = fastavro.schemaless_reader(f, json.load(open("sample.avsc")))
        rest = f.read()
    for key in want:
        if got[key] != want[key]:
            failed = True
            print(f"{name}: {key} differs:\n  read {got[key]!r}\n  want {want[key]!r}")
    failed = failed or bool(rest) or got.keys() != want.keys()
    print(name, "differs" if failed else "agrees")
sys.exit(failed)
