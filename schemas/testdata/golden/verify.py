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


PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
EXACT_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)")
CUSTOM_DECIMAL = {"precision": 38, "scale": 9}


def own_kind(v, raw):
    """Names the type that a plain value of a custom field is of by itself."""
    if isinstance(v, bool):
        return "boolean"
    if isinstance(v, str):
        if PLAIN_NUMBER.fullmatch(v) and "." in v and number(v, CUSTOM_DECIMAL) is not MISFIT:
            return "decimal"
        return "timestamp-millis" if EXACT_INSTANT.fullmatch(v) else "string"
    if not set(raw) & set(".eE") and -(2**63) <= v < 2**63:
        return "long"
    return "decimal" if number(raw, CUSTOM_DECIMAL) is not MISFIT else "string"


def exactly(t, v, raw):
    """Gives a plain value of a custom field as type t, if that holds just it."""
    kind = kind_of(t)
    if kind == "string":
        return v if isinstance(v, str) else raw
    if kind == "boolean" or isinstance(v, bool):
        return v if kind == "boolean" and isinstance(v, bool) else MISFIT
    if kind == "timestamp-millis":
        return instant(v) if isinstance(v, str) and EXACT_INSTANT.fullmatch(v) else MISFIT
    text = v if isinstance(v, str) else raw
    if isinstance(v, str) and not PLAIN_NUMBER.fullmatch(v):
        return MISFIT
    if kind == "decimal":
        return number(text, t)
    if kind == "double":
        return float(text)
    d = decimal.Decimal(text)
    return int(d) if d == d.to_integral_value() and -(2**63) <= d < 2**63 else MISFIT


def kind_of(t):
    return t.get("logicalType", t["type"]) if isinstance(t, dict) else t


def custom(t, v, raw):
    """Gives the value of a typed custom field: by the type that is its own, else the first that holds it exactly, string last."""
    kind = kind_of(t[1])
    if v is None or kind in ("record", "array") and v == "" or kind == "record" and v == []:
        return None
    if kind == "array":
        if isinstance(v, dict) and kind_of(t[1]["items"][1]) == "record":
            v, raw = [v], "[" + raw + "]"
        if not isinstance(v, list):
            return MISFIT
        got = [custom(t[1]["items"], x, r) for x, r in zip(v, raw_elements(raw))]
        return MISFIT if MISFIT in got else got
    if kind == "record":
        got = record(t[1], v, raw) if isinstance(v, dict) else MISFIT
        return got if got is MISFIT or any(x is not None for x in got.values()) else None
    if isinstance(v, (dict, list)):
        return MISFIT
    own = own_kind(v, raw)
    for branch in sorted(t[1:], key=lambda b: 0 if kind_of(b) == own else 2 if b == "string" else 1):
        got = exactly(branch, v, raw)
        if got is not MISFIT:
            return got
    return None if v == "" else MISFIT


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
        twin = key and "coupa.custom" not in f and key.replace("-", "_")
        if key not in raw and twin in raw and twin not in keys:
            key = twin
        known.add(key)
        read = custom if "coupa.custom" in f else value
        out[f["name"]] = read(resolved(f["type"]), v.get(key), raw.get(key))
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
    return RECORDS.get(t.rpartition(".")[2], t) if isinstance(t, str) else t


def same(a, b):
    """Tells whether two values are equal and of one type: to Python, 1 is True and 1.0 as well."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(x, b[key]) for key, x in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


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
    agreed = not rest and got.keys() == want.keys()
    for key in want:
        if not same(got[key], want[key]):
            agreed = False
            print(f"{name}: {key} differs:\n  read {got[key]!r}\n  want {want[key]!r}")
    print(name, "agrees" if agreed else "differs")
    return agreed


cases = [("values", "sample.avsc", "values.json"), ("long-lists", "sample.avsc", "long-lists.json")]
cases += [(f"custom/{mode}", f"custom/{mode}.avsc", "custom/row.json") for mode in ("precise", "string", "double")]
ROWS = pathlib.Path("../rows")
for row in sorted(ROWS.rglob("*.json")):
    path = row.relative_to(ROWS).with_suffix("")
    cases.append((str(path), f"../../avsc/{path}.avsc", row))
sys.exit(not all([agrees(*case) for case in cases]))
