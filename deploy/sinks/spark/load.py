"""Makes tables of topics: load.py KAFKA REGISTRY FOLDER TABLE=TOPIC…

A topic is read from its start to its end, and its table is what is current, as Parquet: the last record of each key, without the deleted.
"""

import json
import sys
import urllib.request

from pyspark.sql import SparkSession, Window, functions
from pyspark.sql.avro.functions import from_avro


def main(kafka, registry, folder, *loads):
    spark = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    for table, topic in (load.split("=") for load in loads):
        records = spark.read.format("kafka").options(**{
            "kafka.bootstrap.servers": kafka, "subscribe": topic, "startingOffsets": "earliest",
            "kafka.isolation.level": "read_committed",
        }).load()
        rows(current(records), registry).write.mode("overwrite").parquet(f"{folder}/{table}")


def current(records):
    """The last record of each key, which is in one partition; none where that is a delete."""
    newest_first = Window.partitionBy("key").orderBy(functions.desc("offset"))
    last = records.withColumn("place", functions.row_number().over(newest_first)).where("place = 1")
    return last.where("value is not null").withColumn("schema", functions.expr("conv(hex(substring(value, 2, 4)), 16, 10)"))


def rows(records, registry):
    """The rows in records, each read with the schema that it was written with, in the form of the newest."""
    records = records.cache()  # each is looked at twice
    ids = sorted(int(r.schema) for r in records.select("schema").distinct().collect())
    schemas = {id: schema(registry, id) for id in ids}
    tables = [
        records.where(f"schema = '{id}'")
        .select(from_avro(functions.expr("substring(value, 6)"), schemas[id], {"avroSchema": schemas[ids[-1]], "mode": "FAILFAST"}).alias("row"))
        .select("row.*")
        for id in ids
    ]
    all = tables[0]
    for table in tables[1:]:
        all = all.unionByName(table)
    return all


def schema(registry, id):
    with urllib.request.urlopen(f"{registry}/schemas/ids/{id}") as answer:
        return json.load(answer)["schema"]


if __name__ == "__main__":
    main(*sys.argv[1:])
