#!/usr/bin/env bash
# Has a data platform read the topics as its page in deploy/sinks says, and prints what its tables hold, a JSON object a line: sinks.sh NAME KAFKA REGISTRY FOLDER.
# The files are those that the pages show; where they name a broker, a registry or a folder, that of the test stands in. Programs are kept in E2E_CACHE.
# It wants Java 17, Maven, Python 3.11 with venv, Node.js with npm, Go, and Debian's PostgreSQL.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
deploy=$(cd "$here/../../../deploy" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
fail() { echo "sinks.sh: $*" >&2; exit 2; }
[ $# = 4 ] || fail "give NAME KAFKA REGISTRY FOLDER"
name=$1 kafka=$2 registry=$3 work=$4
mkdir -p "$cache"

# python REQUIREMENTS ARGUMENT…: a program in Python, with libraries in a folder of their own.
python() {
  local venv
  venv=$cache/sinks-python-$(cksum <"$1" | cut -d' ' -f1)
  if [ ! -e "$venv/ready" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$1" >&2
    touch "$venv/ready"
  fi
  "$venv/bin/python" "${@:2}"
}

# jars POM: prints the folder of what a pom names, from Maven Central.
jars() {
  local folder fresh
  folder=$cache/sinks-jars-$(cksum <"$1" | cut -d' ' -f1)
  if [ ! -d "$folder" ]; then
    fresh=$(mktemp -d "$cache/fresh.XXXXXX")
    mvn -q -B -f "$1" dependency:copy-dependencies -DoutputDirectory="$fresh/jars" >&2
    mv -T "$fresh/jars" "$folder" 2>/dev/null || true
    rm -rf "$fresh"
  fi
  echo "$folder"
}

# placed FILE…: copies of the pages' files in the folder, with the test's addresses.
placed() {
  local file
  for file; do
    sed -e "s|127.0.0.1:9092|$kafka|g" -e "s|http://127.0.0.1:8081/apis/registry/v2|${registry%/ccompat/v7}/registry/v2|g" -e "s|http://127.0.0.1:8081|$registry|g" -e "s|/var/lib/sinks|$work|g" \
      -e "s|127.0.0.1:5432|127.0.0.1:${postgres_port:-}|g" -e "s|127.0.0.1:8083|127.0.0.1:${connect_port:-}|g" "$deploy/$file" >"$work/$(basename "$file")"
  done
}

topics=(invoices=coupa.invoices invoice_lines=coupa.invoices.invoice_lines purchase_orders=coupa.purchase_orders suppliers=coupa.suppliers)

sink_duckdb() {
  local requirements=$deploy/sinks/duckdb/requirements.txt
  python "$requirements" "$deploy/sinks/duckdb/load.py" "$kafka" "$registry" "$work/coupa.duckdb" "${topics[@]}"
  measured "$work/coupa.duckdb"
  python "$requirements" -c 'import duckdb, polars; print("""{"version": "Polars %s, DuckDB %s"}""" % (polars.__version__, duckdb.__version__))'
}

# measured DATABASE [STATEMENT]: prints what the tables of a DuckDB database hold.
measured() {
  python "$deploy/sinks/duckdb/requirements.txt" - "$@" <<'PY'
import json, sys, duckdb
connection = duckdb.connect(sys.argv[1])
for statement in sys.argv[2:]:
    connection.execute(statement)
for table, amount, days, late in [
    ("invoices", "gross_total", "invoice_date - date '1970-01-01'", "custom_fields.reviewed"), ("invoice_lines", "total", "null", "null"),
    ("purchase_orders", "custom_fields.budget", "null", "custom_fields.reviewed"), ("suppliers", "custom_fields.budget", "null", "custom_fields.reviewed"),
]:
    rows, ids, sum, days, seconds, late = connection.execute(
        f"select count(*), sum(id), sum({amount}), sum({days}), sum(epoch_ms(updated_at) // 1000), count(*) filter ({late}) from {table}").fetchone()
    told = {"table": table, "rows": rows, "ids": int(ids), "amount": str(sum), "seconds": int(seconds)}
    if table == "invoices":
        told["days"] = int(days)
    if table != "invoice_lines":
        told["late"] = late
    print(json.dumps(told))
PY
}

sink_spark() {
  local requirements=$deploy/sinks/spark/requirements.txt jars
  jars=$(jars "$deploy/sinks/spark/pom.xml")
  spark_submit() { PATH=$(dirname "$(python "$requirements" -c 'import sys; print(sys.executable)')"):$PATH command spark-submit "$@"; }
  spark_submit --master 'local[2]' --driver-memory 1g --conf spark.ui.enabled=false --conf spark.log.level=WARN --conf spark.sql.shuffle.partitions=2 \
    --jars "$(ls "$jars"/*.jar | paste -sd,)" "$deploy/sinks/spark/load.py" "$kafka" "$registry" "$work" "${topics[@]}" >&2
  local table statements=()
  for table in "${topics[@]%=*}"; do statements+=("create view $table as from '$work/$table/*.parquet'"); done
  measured :memory: "${statements[@]}"
  python "$requirements" -c 'import pyspark; print("""{"version": "%s"}""" % pyspark.__version__)'
}

# free_port: a port that nothing listens on.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

ended() { # the last first
  local i
  for ((i = ${#children[@]} - 1; i >= 0; i--)); do kill "${children[i]}" 2>/dev/null && wait "${children[i]}" || true; done
  [ -z "${data:-}" ] || rm -rf "$data"
}
children=()
trap ended EXIT

# until_at_rest SECONDS COMMAND…: waits until what the command prints has stayed the same for so long, and is not nothing, while the last child runs.
until_at_rest() {
  local last= now _ same=0
  for _ in $(seq 300); do
    now=$("${@:2}" 2>/dev/null) || now=
    if [ -n "$now" ] && [ "$now" = "$last" ]; then same=$((same + 1)); else same=0; fi
    [ $((same * 2)) -lt "$1" ] || return 0
    kill -0 "${children[-1]}" 2>/dev/null || fail "the program has ended by itself"
    if grep -qs 'will not recover until manually restarted' "$work/connect.log"; then
      grep -A30 'will not recover' "$work/connect.log" | grep -v '^\s*at ' >&2
      fail "the connector's task has failed"
    fi
    last=$now
    sleep 2
  done
  fail "nothing has come to rest in 10 minutes: $now"
}

# connect POM CONNECTOR…: a worker of Kafka Connect with a sink's jars for a plugin, and its connectors.
connect() {
  connect_port=$(free_port)
  placed sinks/connect/worker.properties
  mkdir -p "$work/plugins"
  ln -s "$(jars "$deploy/sinks/$1")" "$work/plugins/sink"
  shift
  "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx700m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(jars "$deploy/sinks/connect/pom.xml")/*" \
    org.apache.kafka.connect.cli.ConnectStandalone "$work/worker.properties" "$@" >"$work/connect.log" 2>&1 &
  children+=($!)
}

# postgresql CONNECTOR BUDGET REVIEWED TABLE=RELATION…: has a connector of the page write, and tells what is in the relations.
postgresql() {
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1) || true
  [ -n "$bin" ] || fail "PostgreSQL is not installed (Debian: apt-get install postgresql)"
  # PostgreSQL does not run as root.
  as=() data=$(mktemp -d)
  if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups) && chown 65534:65534 "$data"; fi
  postgres_port=$(free_port)
  "${as[@]}" "$bin/initdb" -D "$data/db" -U postgres -A trust >/dev/null
  "${as[@]}" "$bin/postgres" -D "$data/db" -p "$postgres_port" -k "$data" -c listen_addresses=127.0.0.1 -c timezone=UTC >"$work/postgres.log" 2>&1 &
  children+=($!)
  until "$bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; do sleep 0.5; done
  sql() { "$bin/psql" -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U postgres "$@"; }
  placed sinks/postgresql/create.sql sinks/postgresql/rows.properties sinks/postgresql/changes.properties
  sql -f "$work/create.sql" >&2
  connect postgresql/pom.xml "$work/$1.properties"
  local table topic amount days late measures=()
  for topic in "${@:4}"; do
    table=${topic%=*} amount=$2 days=0 late=$3
    case $table in
      invoices) amount=gross_total days="invoice_date - date '1970-01-01'" ;;
      invoice_lines) amount=total late=false ;;
    esac
    [ "$late" = null ] || late="count(*) filter (where $late)"
    measures+=("select json_build_object('table', '$table', 'rows', count(*), 'ids', sum(id), 'amount', sum($amount)::text, 'days', sum($days),
      'seconds', sum(floor(extract(epoch from updated_at)))::bigint, 'late', $late) from ${topic#*=};")
  done
  measured_here() { printf '%s\n' "${measures[@]}" | sql -d coupa; }
  until_at_rest 20 measured_here
  measured_here
  sql -d coupa -c "select json_build_object('version', '$(version postgresql debezium-connector-jdbc), PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1))"
}

# version SINK ARTIFACT: which its pom has.
version() { sed -nE "/<artifactId>$2</{n;s|.*<version>(.*)</version>.*|\1|p}" "$deploy/sinks/$1/pom.xml"; }

sink_postgresql_rows() {
  postgresql rows custom_fields__budget custom_fields__reviewed invoices=rows.coupa_invoices invoice_lines=rows.coupa_invoices_invoice_lines \
    purchase_orders=rows.coupa_purchase_orders suppliers=rows.coupa_suppliers
}

sink_postgresql_changes() {
  postgresql changes null::numeric null invoices=changes.changes_invoices \
    purchase_orders=changes.changes_purchase_orders suppliers=changes.changes_suppliers
}

sink_clickhouse() {
  placed sinks/clickhouse/tables.sql
  python "$deploy/sinks/clickhouse/requirements.txt" - "$work/tables.sql" "$work/clickhouse" <<'PY'
import json, sys, time
from chdb import session
s = session.Session(sys.argv[2])
for statement in open(sys.argv[1]).read().split(";\n"):
    if statement.strip():
        s.query(statement)

def measured():
    out = []
    for table, amount, days, late in [
        ("invoices", "gross_total", "dateDiff('day', toDate32('1970-01-01'), invoice_date)", "custom_fields['reviewed'] = 'true'"),
        ("purchase_orders", "toDecimal128OrZero(custom_fields['budget'], 9)", "0", "custom_fields['reviewed'] = 'true'"),
        ("suppliers", "toDecimal128OrZero(custom_fields['budget'], 9)", "0", "custom_fields['reviewed'] = 'true'"),
    ]:
        out.append(str(s.query(f"""select '{table}' as table, count() as rows, sum(id) as ids, toString(sum({amount})) as amount,
            sum({days}) as days, sum(intDiv(toUnixTimestamp64Milli(updated_at), 1000)) as seconds, countIf({late}) as late from {table} final
            settings output_format_json_quote_64bit_integers = 0""", "JSONEachRow")).strip())
    return out

last, same = None, 0
for _ in range(60):
    now = measured()
    same = same + 1 if now == last and not any('"rows":0' in line for line in now) else 0
    if same == 6:
        break
    last = now
    time.sleep(3)
print("\n".join(now))
import chdb
print(json.dumps({"version": f"chdb {chdb.__version__}, ClickHouse {str(s.query('select version()')).strip().strip(chr(34))}"}))
PY
}

# flink FROM: has Flink run the page's tables, and measures them in what FROM makes of each name.
flink() {
  local table amount days late from
  placed sinks/flink/tables.sql
  for table in invoices invoice_lines purchase_orders suppliers; do
    amount=custom_fields.budget days="'0'" late="count(*) filter (where custom_fields.reviewed)"
    case $table in
      invoices) amount=gross_total days="cast(sum(cast(timestampdiff(day, date '1970-01-01', invoice_date) as bigint)) as string)" ;;
      invoice_lines) amount=total late=0 ;;
    esac
    from=$("$1" $table)
    echo "select '{\"table\": \"$table\", \"rows\": ' || cast(count(*) as string) || ', \"ids\": ' || cast(sum(id) as string) || ', \"amount\": \"' || cast(sum($amount) as string)
      || '\", \"days\": ' || $days || ', \"seconds\": ' || cast(sum(cast(timestampdiff(second, timestamp '1970-01-01 00:00:00', updated_at) as bigint)) as string) || ', \"late\": ' || cast($late as string) || '}' from $from;"
  done >"$work/measure.sql"
  "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$(jars "$deploy/sinks/flink/pom.xml")/*" "$here/sinks/Flink.java" "$work/tables.sql" "$work/measure.sql" 2>"$work/flink.log" || { tail -40 "$work/flink.log" >&2; return 1; }
  echo "{\"version\": \"$(version flink flink-clients)\"}"
}

sink_flink_upsert() { flink echo; }

sink_flink_append() {
  last() { echo "(select * from (select *, row_number() over (partition by id order by \`offset\` desc) as place from $1_versions) where place = 1)"; }
  flink last
}

# iceberg PREFIX LAST: has the page's connector write, and measures its tables whose names begin so, in what LAST makes of each.
iceberg() {
  placed sinks/iceberg/iceberg.properties
  sed -i "s/^name=.*/&-$1/" "$work/iceberg.properties" # each run reads from the start
  connect iceberg/pom.xml "$work/iceberg.properties"
  committed() { # all seven tables have a snapshot
    local all
    all=$(find "$work/warehouse" -name 'snap-*.avro' | sort)
    [ "$(xargs -rn1 dirname <<<"$all" | sort -u | wc -l)" -lt 7 ] || echo "$all"
  }
  until_at_rest 60 committed # commits are far between
  python "$deploy/sinks/iceberg/requirements.txt" - "$work/warehouse" "$@" <<'PY'
import glob, json, re, sys
import duckdb
from pyiceberg.table import StaticTable
warehouse, prefix, last = sys.argv[1:]
connection = duckdb.connect()
for table, amount, days, late in [
    ("invoices", "gross_total", "invoice_date - date '1970-01-01'", "reviewed"), ("invoices/invoice_lines", "total", "0", "false"),
    ("purchase_orders", "budget", "0", "reviewed"), ("suppliers", "budget", "0", "reviewed"),
]:
    versions = glob.glob(f"{warehouse}/{prefix}/{table}/metadata/v*.metadata.json")
    if not versions:
        continue
    newest = max(versions, key=lambda name: int(re.search(r"v(\d+)\.metadata", name)[1]))
    rows = StaticTable.from_metadata(newest).scan().to_arrow()
    amount = amount.replace("budget", "custom_fields.budget" if prefix == "coupa" else "cast(custom_fields['budget'] as decimal(38, 9))")
    late = late.replace("reviewed", "custom_fields.reviewed" if prefix == "coupa" else "custom_fields['reviewed'] = 'true'")
    rows, ids, sum, days, seconds, late = connection.execute(f"""select count(*), sum(id), sum({amount}), sum({days}), sum(epoch_ms(updated_at) // 1000), count(*) filter ({late})
        from ({last})""").fetchone()
    print(json.dumps({"table": table.split("/")[-1], "rows": rows, "ids": int(ids), "amount": str(sum), "days": int(days), "seconds": int(seconds), "late": late}))
PY
  echo "{\"version\": \"$(version iceberg iceberg-kafka-connect), PyIceberg $(sed -nE 's/^pyiceberg.*==//p' "$deploy/sinks/iceberg/requirements.txt")\"}"
}

sink_iceberg_rows() { iceberg coupa 'select * from rows qualify row_number() over (partition by id order by _offset desc) = 1'; }

sink_iceberg_changes() {
  iceberg changes "select unnest(after) from (select * from rows qualify row_number() over (partition by coalesce(after.id, before.id) order by _offset desc) = 1) where op <> 'd'"
}

# consumer COMMAND…: runs a program that keeps a table of invoices until it has come to rest, ends it, and measures its table.
consumer() {
  local status=0
  "$@" "$kafka" "$registry" "$work/invoices.json" >"$work/out" 2>"$work/err" &
  children+=($!)
  until_at_rest 20 tail -n 1 "$work/out" || { tail -20 "$work/err" >&2; return 1; }
  kill -TERM "${children[-1]}"
  wait "${children[-1]}" || status=$?
  [ $status = 0 ] || [ $status = 143 ] || { tail -20 "$work/err" >&2; fail "ended with $status"; } # Java's own for SIGTERM is 143
  python3 - "$work/invoices.json" <<'PY'
import json, sys
from decimal import Decimal
table = json.load(open(sys.argv[1]))
print(json.dumps({"table": "invoices", "rows": len(table), "ids": sum(int(key.split("/")[1]) for key in table),
    "amount": str(sum(Decimal(row["gross_total"]) for row in table.values() if row.get("gross_total")))}))
PY
}

sink_python() {
  local requirements=$deploy/consumers/python/requirements.txt
  python "$requirements" -c 'import confluent_kafka; print("""{"version": "confluent-kafka %s"}""" % confluent_kafka.__version__)'
  consumer "$(python "$requirements" -c 'import sys; print(sys.executable)')" "$deploy/consumers/python/table.py"
}

sink_go() {
  (cd "$deploy/consumers/go" && go build -o "$work/table" . && go list -m -f '{"version": "franz-go {{.Version}}"}' github.com/twmb/franz-go)
  consumer "$work/table"
}

sink_java() {
  cp -r "$deploy/consumers/java" "$work/java"
  mvn -q -B -f "$work/java/pom.xml" compile dependency:copy-dependencies >&2
  sed -nE '/<artifactId>kafka-clients</{n;s|.*<version>(.*)</version>.*|{"version": "kafka-clients \1"}|p}' "$work/java/pom.xml"
  consumer "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx256m -XX:+UseSerialGC -cp "$work/java/target/classes:$work/java/target/dependency/*" Table
}

sink_node() {
  cp -r "$deploy/consumers/node" "$work/node"
  npm install --silent --no-audit --no-fund --prefix "$work/node" >&2
  sed -nE 's/.*"kafkajs": "(.*)",/{"version": "kafkajs \1"}/p' "$work/node/package.json"
  consumer node "$work/node/table.js"
}

"sink_$name"
