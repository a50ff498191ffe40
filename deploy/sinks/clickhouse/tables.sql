-- For each topic: a table that reads it, the table that keeps the last of each row, and what carries records from one to the other.
-- A tuple has exactly the fields of its record; that of a row stands in it twice, before and after.

CREATE TABLE invoices_topic (
    op String,
    before Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), invoice_date Nullable(Date32), invoice_number Nullable(String), status Nullable(String), gross_total Nullable(Decimal(38, 9)), custom_fields Map(String, String)),
    after Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), invoice_date Nullable(Date32), invoice_number Nullable(String), status Nullable(String), gross_total Nullable(Decimal(38, 9)), custom_fields Map(String, String))
) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:9092', kafka_topic_list = 'changes.invoices', kafka_group_name = 'clickhouse-invoices',
    kafka_format = 'AvroConfluent', format_avro_schema_registry_url = 'http://127.0.0.1:8081';

CREATE TABLE invoices (
    id Int64, updated_at Nullable(DateTime64(3, 'UTC')), invoice_date Nullable(Date32), invoice_number Nullable(String), status Nullable(String), gross_total Nullable(Decimal(38, 9)), custom_fields Map(String, String),
    position UInt64, deleted UInt8
) ENGINE = ReplacingMergeTree(position, deleted) ORDER BY id;

CREATE MATERIALIZED VIEW invoices_flow TO invoices AS
SELECT if(op = 'd', before.id, after.id) AS id, after.updated_at AS updated_at, after.invoice_date AS invoice_date, after.invoice_number AS invoice_number, after.status AS status, after.gross_total AS gross_total, after.custom_fields AS custom_fields,
    _offset AS position, op = 'd' AS deleted
FROM invoices_topic;

CREATE TABLE purchase_orders_topic (
    op String,
    before Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), po_number Nullable(String), status Nullable(String), custom_fields Map(String, String)),
    after Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), po_number Nullable(String), status Nullable(String), custom_fields Map(String, String))
) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:9092', kafka_topic_list = 'changes.purchase_orders', kafka_group_name = 'clickhouse-purchase_orders',
    kafka_format = 'AvroConfluent', format_avro_schema_registry_url = 'http://127.0.0.1:8081';

CREATE TABLE purchase_orders (
    id Int64, updated_at Nullable(DateTime64(3, 'UTC')), po_number Nullable(String), status Nullable(String), custom_fields Map(String, String),
    position UInt64, deleted UInt8
) ENGINE = ReplacingMergeTree(position, deleted) ORDER BY id;

CREATE MATERIALIZED VIEW purchase_orders_flow TO purchase_orders AS
SELECT if(op = 'd', before.id, after.id) AS id, after.updated_at AS updated_at, after.po_number AS po_number, after.status AS status, after.custom_fields AS custom_fields,
    _offset AS position, op = 'd' AS deleted
FROM purchase_orders_topic;

CREATE TABLE suppliers_topic (
    op String,
    before Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), name Nullable(String), number Nullable(String), status Nullable(String), custom_fields Map(String, String)),
    after Tuple(id Int64, updated_at Nullable(DateTime64(3, 'UTC')), name Nullable(String), number Nullable(String), status Nullable(String), custom_fields Map(String, String))
) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:9092', kafka_topic_list = 'changes.suppliers', kafka_group_name = 'clickhouse-suppliers',
    kafka_format = 'AvroConfluent', format_avro_schema_registry_url = 'http://127.0.0.1:8081';

CREATE TABLE suppliers (
    id Int64, updated_at Nullable(DateTime64(3, 'UTC')), name Nullable(String), number Nullable(String), status Nullable(String), custom_fields Map(String, String),
    position UInt64, deleted UInt8
) ENGINE = ReplacingMergeTree(position, deleted) ORDER BY id;

CREATE MATERIALIZED VIEW suppliers_flow TO suppliers AS
SELECT if(op = 'd', before.id, after.id) AS id, after.updated_at AS updated_at, after.name AS name, after.number AS number, after.status AS status, after.custom_fields AS custom_fields,
    _offset AS position, op = 'd' AS deleted
FROM suppliers_topic;
