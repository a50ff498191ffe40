#!/bin/sh
# A table of ClickHouse's Kafka engine can't be made in chdb 4.
#
# What one expects: chdb is ClickHouse in a Python process, and lists Kafka among its table engines. A table of
# that engine is made without a look at the broker, so CREATE TABLE succeeds; it did up to chdb 3.7.2.
#
# What happens: chdb 4.4.0 and 4.3.0 (ClickHouse 26.9.2.1, Python 3.11) refuse every such table with a
# LOGICAL_ERROR, "Shutdown was called", in a session that was never shut down and goes on to serve tables of
# other engines. Pools of threads that are set larger (background_message_broker_schedule_pool_size) change
# nothing.
#
# Seen:
#
#   chdb 3.7.2, ClickHouse 25.8.2.1: the table is made
#   chdb 4.4.0, ClickHouse 26.9.2.1: Code: 49. DB::Exception: Shutdown was called. (LOGICAL_ERROR)
#
# What to do instead: chdb 3.7.2, or a server.
#
# Needs: python3 with venv. Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >make.py <<'PY'
import sys

import chdb
from chdb import session

s = session.Session("data-" + chdb.__version__)
version = str(s.query("select version()")).strip().strip('"')
try:
    s.query("create table t (a String) engine = Kafka settings kafka_broker_list = '127.0.0.1:9092', "
            "kafka_topic_list = 't', kafka_group_name = 'g', kafka_format = 'JSONEachRow'")
    outcome = "the table is made"
except Exception as e:
    outcome = str(e).strip().splitlines()[0]
print(f"chdb {chdb.__version__}, ClickHouse {version}: {outcome}")
sys.stdout.flush()
sys.exit(0 if sys.argv[1] in outcome else 1)
PY
try() { # VERSION OUTCOME
	python3 -m venv "venv-$1"
	"venv-$1/bin/pip" install -q --disable-pip-version-check "chdb==$1"
	"venv-$1/bin/python" make.py "$2"
}
try 3.7.2 'the table is made'
try 4.4.0 'Shutdown was called'
