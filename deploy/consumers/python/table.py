"""Keeps a table of invoices by key: table.py [KAFKA [REGISTRY [FILE]]]

What is saved is what was read up to the positions that are committed after it: when the program is killed between the two, it reads some records once more, which changes nothing.
"""

import json
import os
import signal
import sys
from decimal import Decimal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "coupa.invoices"


def main(kafka="127.0.0.1:9092", registry="http://127.0.0.1:8081", file="invoices.json"):
    read = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    key = SerializationContext(TOPIC, MessageField.KEY)
    value = SerializationContext(TOPIC, MessageField.VALUE)
    table = {}
    if os.path.exists(file):
        with open(file) as saved:
            table = json.load(saved)
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "table-python", "isolation.level": "read_committed",
        "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": True,
    })
    consumer.subscribe([TOPIC])
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    while not stop:
        positions = {}
        for record in consumer.consume(500, timeout=1):
            if not record.error():
                id = read(record.key(), key)
                name = f"{id['tenant']}/{id['id']}"
                headers = dict(record.headers())
                if record.value() is None:  # coupa.op is delete
                    assert headers["coupa.op"] == b"delete"
                    table.pop(name, None)
                else:  # coupa.op is snapshot or upsert, which are the same to a table
                    row = read(record.value(), value)
                    table[name] = {"invoice_number": row["invoice_number"], "gross_total": text(row["gross_total"])}
                positions[record.partition()] = record.offset() + 1
            elif record.error().code() == KafkaError._PARTITION_EOF:
                positions[record.partition()] = record.offset()  # behind the marker of the last transaction, too
            else:
                raise KafkaException(record.error())
        if positions:
            save(table, file)
            consumer.commit(offsets=[TopicPartition(TOPIC, p, offset) for p, offset in positions.items()], asynchronous=False)
            total = sum((Decimal(row["gross_total"]) for row in table.values() if row["gross_total"]), Decimal(0))
            print(f"{len(table)} invoices, {total} in total", flush=True)
    consumer.close()


def text(amount):
    return None if amount is None else str(amount)


def save(table, file):
    """Replaces the file whole, so that it is never half written."""
    with open(file + ".new", "w") as new:
        json.dump(table, new)
        new.flush()
        os.fsync(new.fileno())
    os.replace(file + ".new", file)


if __name__ == "__main__":
    main(*sys.argv[1:])
