-- what is current: records are upserts by key, tombstones are deletes
CREATE TABLE invoices (
    key_tenant STRING, key_id BIGINT,
    id BIGINT, updated_at TIMESTAMP(3), invoice_number STRING, invoice_date DATE, gross_total DECIMAL(38, 9), custom_fields ROW<region STRING, reviewed BOOLEAN>,
    PRIMARY KEY (key_tenant, key_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'coupa.invoices', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed', 'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'avro-confluent', 'key.avro-confluent.url' = 'http://127.0.0.1:8081', 'key.fields-prefix' = 'key_',
    'value.format' = 'avro-confluent', 'value.avro-confluent.url' = 'http://127.0.0.1:8081', 'value.fields-include' = 'EXCEPT_KEY'
);

-- all that was published, a row for each record but for tombstones
CREATE TABLE invoices_versions (
    `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
    id BIGINT, updated_at TIMESTAMP(3), invoice_number STRING, invoice_date DATE, gross_total DECIMAL(38, 9), custom_fields ROW<region STRING, reviewed BOOLEAN>
) WITH (
    'connector' = 'kafka', 'topic' = 'coupa.invoices', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro-confluent', 'avro-confluent.url' = 'http://127.0.0.1:8081'
);

-- what is current: records are upserts by key, tombstones are deletes
CREATE TABLE invoice_lines (
    key_tenant STRING, key_id BIGINT,
    id BIGINT, updated_at TIMESTAMP(3), parent_id BIGINT, description STRING, total DECIMAL(38, 20),
    PRIMARY KEY (key_tenant, key_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'coupa.invoices.invoice_lines', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed', 'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'avro-confluent', 'key.avro-confluent.url' = 'http://127.0.0.1:8081', 'key.fields-prefix' = 'key_',
    'value.format' = 'avro-confluent', 'value.avro-confluent.url' = 'http://127.0.0.1:8081', 'value.fields-include' = 'EXCEPT_KEY'
);

-- all that was published, a row for each record but for tombstones
CREATE TABLE invoice_lines_versions (
    `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
    id BIGINT, updated_at TIMESTAMP(3), parent_id BIGINT, description STRING, total DECIMAL(38, 20)
) WITH (
    'connector' = 'kafka', 'topic' = 'coupa.invoices.invoice_lines', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro-confluent', 'avro-confluent.url' = 'http://127.0.0.1:8081'
);

-- what is current: records are upserts by key, tombstones are deletes
CREATE TABLE purchase_orders (
    key_tenant STRING, key_id BIGINT,
    id BIGINT, updated_at TIMESTAMP(3), po_number STRING, custom_fields ROW<budget DECIMAL(38, 9), region STRING, reviewed BOOLEAN>,
    PRIMARY KEY (key_tenant, key_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'coupa.purchase_orders', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed', 'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'avro-confluent', 'key.avro-confluent.url' = 'http://127.0.0.1:8081', 'key.fields-prefix' = 'key_',
    'value.format' = 'avro-confluent', 'value.avro-confluent.url' = 'http://127.0.0.1:8081', 'value.fields-include' = 'EXCEPT_KEY'
);

-- all that was published, a row for each record but for tombstones
CREATE TABLE purchase_orders_versions (
    `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
    id BIGINT, updated_at TIMESTAMP(3), po_number STRING, custom_fields ROW<budget DECIMAL(38, 9), region STRING, reviewed BOOLEAN>
) WITH (
    'connector' = 'kafka', 'topic' = 'coupa.purchase_orders', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro-confluent', 'avro-confluent.url' = 'http://127.0.0.1:8081'
);

-- what is current: records are upserts by key, tombstones are deletes
CREATE TABLE suppliers (
    key_tenant STRING, key_id BIGINT,
    id BIGINT, updated_at TIMESTAMP(3), name STRING, custom_fields ROW<budget DECIMAL(38, 9), region STRING, reviewed BOOLEAN>,
    PRIMARY KEY (key_tenant, key_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'coupa.suppliers', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed', 'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'avro-confluent', 'key.avro-confluent.url' = 'http://127.0.0.1:8081', 'key.fields-prefix' = 'key_',
    'value.format' = 'avro-confluent', 'value.avro-confluent.url' = 'http://127.0.0.1:8081', 'value.fields-include' = 'EXCEPT_KEY'
);

-- all that was published, a row for each record but for tombstones
CREATE TABLE suppliers_versions (
    `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
    id BIGINT, updated_at TIMESTAMP(3), name STRING, custom_fields ROW<budget DECIMAL(38, 9), region STRING, reviewed BOOLEAN>
) WITH (
    'connector' = 'kafka', 'topic' = 'coupa.suppliers', 'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink', 'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro-confluent', 'avro-confluent.url' = 'http://127.0.0.1:8081'
);

