"""Loads topics into DuckDB: load.py KAFKA REGISTRY DATABASE TABLE=TOPIC…

A topic is read from its start to its end, and its table replaced by what is current: the last record of each key, without the deleted.
"""

import io
import json
import sys
import urllib.request

import duckdb
import fastavro
import polars
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition


def main(kafka, registry, database, *loads):
    connection = duckdb.connect(database)
    for table, topic in (load.split("=") for load in loads):
        frame = current(kafka, Schemas(registry), topic)
        connection.execute(f'create or replace table "{table}" as select * from frame')


def current(kafka, schemas, topic):
    """What is current in a topic, as a frame with the columns of the newest schema."""
    rows, newest = {}, 0
    for record in records(kafka, topic):
        key = record.key()
        if record.value() is None:  # deleted
            rows.pop(key, None)
            continue
        id, rows[key] = schemas.decode(record.value())
        newest = max(newest, id)  # a registry counts upwards
    schema = schemas.known[newest]
    columns = {f["name"]: column(f["type"], schema["__named_schemas"]) for f in schema["fields"]}
    return polars.DataFrame(list(rows.values()), schema=columns)


def records(kafka, topic):
    """The records of a topic, from its start to where its partitions end now."""
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "duckdb", "isolation.level": "read_committed",
        "enable.auto.commit": False, "enable.partition.eof": True,
    })
    partitions = set(consumer.list_topics(topic, 30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    while partitions:
        record = consumer.poll(30)
        if record is None:
            raise TimeoutError(f"{topic}: nothing came for 30 s")
        if not record.error():
            yield record
        elif record.error().code() == KafkaError._PARTITION_EOF:
            partitions.discard(record.partition())
        else:
            raise KafkaException(record.error())
    consumer.close()


class Schemas:
    """The registry's schemas, each asked for once. A record is read with the one that it was written with."""

    def __init__(self, registry):
        self.registry, self.known = registry, {}

    def decode(self, data):
        id = int.from_bytes(data[1:5], "big")
        if id not in self.known:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{id}") as answer:
                self.known[id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
        return id, fastavro.schemaless_reader(io.BytesIO(data[5:]), self.known[id])


def column(type, named):
    """The type of a column for the type of a field; named are the schema's records by their names."""
    if isinstance(type, list):  # ["null", type]
        type = next(t for t in type if t != "null")
    if isinstance(type, str):
        type = named.get(type, {"type": type})
    name = type.get("logicalType") or type["type"]
    if name == "record":
        return polars.Struct({f["name"]: column(f["type"], named) for f in type["fields"]})
    if name == "array":
        return polars.List(column(type["items"], named))
    if name == "decimal":
        return polars.Decimal(type["precision"], type["scale"])
    return {
        "string": polars.String, "boolean": polars.Boolean, "long": polars.Int64, "double": polars.Float64,
        "date": polars.Date, "timestamp-millis": polars.Datetime("ms", "UTC"),
    }[name]


if __name__ == "__main__":
    main(*sys.argv[1:])
