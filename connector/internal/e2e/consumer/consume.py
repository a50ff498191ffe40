"""Reads topics from their start to their end under read_committed and prints each record as a line of JSON, those of a partition in their order.

consume.py BOOTSTRAP REGISTRY FORMAT=TOPIC…, FORMAT one of avro, json, jsonschema. Nothing here knows the connector: keys and
values are decoded by the schemas that the registry has under the ids in the records, and JSON is validated by them. A tombstone has
the value null.
"""

import decimal
import io
import json
import sys
import urllib.request

import confluent_kafka
import fastavro
import jsonschema


class Decoder:
    def __init__(self, registry):
        self.registry, self.known = registry, {}

    def schema(self, id):
        if id not in self.known:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{id}") as answer:
                self.known[id] = self.compiled(json.load(answer))
        return self.known[id]

    def compiled(self, answer):
        schema = json.loads(answer["schema"])
        if answer.get("schemaType", "AVRO") == "AVRO":
            return fastavro.parse_schema(schema)
        validator = jsonschema.validators.validator_for(schema)
        validator.check_schema(schema)
        return validator(schema)

    def decode(self, form, data):
        if data is None:
            return None
        if form == "json":
            return json.loads(data)
        if data[0] != 0:
            raise ValueError("no magic byte")
        schema, body = self.schema(int.from_bytes(data[1:5], "big")), data[5:]
        if form == "jsonschema":
            value = json.loads(body)
            schema.validate(value)
            return value
        stream = io.BytesIO(body)
        value = fastavro.schemaless_reader(stream, schema)
        if stream.read():
            raise ValueError("bytes follow the value")
        return value


def consume(bootstrap, topic):
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": bootstrap, "group.id": "consume", "isolation.level": "read_committed",
        "enable.auto.commit": False, "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in partitions])
    open_ = set(partitions)
    while open_:
        message = consumer.poll(30)
        if message is None:
            raise TimeoutError(f"{topic}: nothing for 30 s, and partitions {open_} have not ended")
        if not message.error():
            yield message
        elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
            open_.discard(message.partition())
        else:
            raise confluent_kafka.KafkaException(message.error())
    consumer.close()


def plain(value):
    return str(value) if isinstance(value, decimal.Decimal) else value.isoformat()


bootstrap, registry, *topics = sys.argv[1:]
decoder = Decoder(registry)
for named in topics:
    form, topic = named.split("=", 1)
    for m in consume(bootstrap, topic):
        print(json.dumps({
            "topic": topic, "headers": {name: value.decode() for name, value in m.headers() or []},
            "key": decoder.decode(form, m.key()), "value": decoder.decode(form, m.value()),
        }, default=plain))
