#!/usr/bin/env bash
# A real Apache Kafka broker (KRaft, transactions on), or several, and a real Schema Registry (Apicurio, through
# its Confluent-compatible API) on loopback, from Maven Central.
#
#   kafka.sh up [DIR]      install what is missing, start what is not running, wait until both answer, print the addresses
#   kafka.sh down [DIR]    stop them; the data stays in DIR
#   kafka.sh install       only fill the cache
#   kafka.sh kill-broker | stop-broker | start-broker [DIR [N …]]    for crash tests; of several, those numbers, at once
#   kafka.sh kill-registry | start-registry [DIR]
#   kafka.sh stop-second | start-second [DIR]               another broker beside, at SECOND_PORT; it is stopped in order
#   kafka.sh transactions | consume | topics | consumer-groups ARGUMENT …
#                                                           Kafka's kafka-transactions.sh, kafka-console-consumer.sh, kafka-topics.sh
#                                                           or kafka-consumer-groups.sh, whichever broker it is told
#
# DIR (default ./.e2e) holds data, logs and process ids. The programs stay in a cache that all runs share.
#
#   KAFKA_PORT (19092), REGISTRY_PORT (18081)   each takes the next port too (controller, management); below 32768,
#                                               because clients use the ports above
#   BROKERS (1)                                 how many; each is a controller too. Number N has its ports 2(N-1) above
#   PROXY_PORT                                  number N has another listener, at PROXY_PORT+BROKERS+N-1, and says that it is
#                                               at PROXY_PORT+N-1: where a proxy of the caller's is to listen
#   PROXY_PROTOCOL (PLAINTEXT)                  what is spoken there
#   BROKER_SETTINGS                             lines for the brokers' files
#   KAFKA_VERSION (rig.xml's)
#   E2E_CACHE (${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e)   where the programs are kept
#   JAVA_HOME, JAVA21_HOME                      Kafka needs Java 17, the registry Java 21; found by themselves in /usr/lib/jvm
#   OWNER                                       a process id: when that process is gone, all are stopped
set -euo pipefail

usage() { sed -n '5,13p' "$0" | cut -c3- >&2; exit 2; }
fail() { echo "kafka.sh: $*" >&2; exit 1; }

cmd=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
kafka_port=${KAFKA_PORT:-19092}
registry_port=${REGISTRY_PORT:-18081}
registry_version=3.3.3
registry_api=http://127.0.0.1:$registry_port/apis/ccompat/v7
kafka_version=${KAFKA_VERSION:-$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$here/rig.xml")}
brokers=${BROKERS:-1}
# The folder of the jars carries a checksum of the list they come from: another list, another folder.
kafka_home=$cache/kafka-$kafka_version-$(cksum <"$here/rig.xml" | cut -d' ' -f1)
registry_home=$cache/apicurio-$registry_version

# java_of N REMEDY: prints the first Java that is N or newer.
java_of() {
  local j v
  for j in ${JAVA21_HOME:+"$JAVA21_HOME/bin/java"} ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java; do
    v=$("$j" -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p') || continue
    [ "${v:-0}" -ge "$1" ] && { command -v "$j"; return; }
  done
  fail "no Java $1 or newer found; $2"
}

install() {
  [ -d "$kafka_home" ] && [ -d "$registry_home" ] && return
  command -v mvn >/dev/null || fail "mvn is not installed; it fetches Kafka and the registry (Debian: apt-get install maven)"
  mkdir -p "$cache"
  local fresh
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  if [ ! -d "$kafka_home" ]; then
    mvn -q -B -f "$here/rig.xml" -Dkafka.version="$kafka_version" dependency:copy-dependencies -DoutputDirectory="$fresh/kafka" >&2
    mv -T "$fresh/kafka" "$kafka_home" 2>/dev/null || true # another run may have been first
  fi
  if [ ! -d "$registry_home" ]; then
    mvn -q -B dependency:copy -Dartifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all \
      -DoutputDirectory="$fresh" >&2
    mkdir "$fresh/registry"
    tar xzf "$fresh/apicurio-registry-app-$registry_version-all.tar.gz" -C "$fresh/registry"
    mv -T "$fresh/registry" "$registry_home" 2>/dev/null || true
  fi
  rm -rf "$fresh"
  [ -d "$kafka_home" ] && [ -d "$registry_home" ] || fail "Kafka or the registry did not arrive in $cache"
}

# broker_settings N prints broker N's file. Defaults everywhere except: replication factors that the brokers can serve, few partitions of
# the brokers' own topics, which they open one by one at each start, no pause before a group's first rebalance, sessions of a group's members
# as short as tests like them, a short session with the controller, which a broker that was killed has to wait out before it may come
# back, and a log cleaner that looks every second. Of several, two have to be there; a leader that comes back leads again soon.
broker_settings() {
  local port=$(port_of "$1") replicas=$((brokers < 3 ? brokers : 3)) session=$((brokers > 1 ? 6000 : 3000)) n voters= proxied= map=
  for n in $(seq "$brokers"); do voters+=,$n@127.0.0.1:$(($(port_of "$n") + 1)); done
  if [ -n "${PROXY_PORT:-}" ]; then
    proxied=,PROXIED://127.0.0.1
    map=listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:${PROXY_PROTOCOL:-PLAINTEXT}
  fi
  cat <<P
process.roles=broker,controller
node.id=$1
controller.quorum.voters=${voters#,}
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))${proxied:+$proxied:$((PROXY_PORT + brokers + $1 - 1))}
advertised.listeners=PLAINTEXT://127.0.0.1:$port${proxied:+$proxied:$((PROXY_PORT + $1 - 1))}
$map
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/$(data_of "$1")
num.partitions=3
default.replication.factor=$replicas
min.insync.replicas=$((replicas > 2 ? 2 : 1))
offsets.topic.replication.factor=$replicas
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$((replicas > 2 ? 2 : 1))
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$((replicas > 2 ? 2 : 1))
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=1000
broker.session.timeout.ms=$session
broker.heartbeat.interval.ms=500
leader.imbalance.check.interval.seconds=10
${BROKER_SETTINGS:-}
P
}

port_of() { echo $((kafka_port + 2 * ($1 - 1))); }

# The first broker's folder, log and process id have no number.
name_of() { [ "$1" = 1 ] && echo broker || echo "broker-$1"; }
data_of() { [ "$1" = 1 ] && echo data || echo "data-$1"; }

# start_second starts a broker that is no controller.
start_second() {
  running second && return
  local java
  java=$(java_of 17 "Kafka needs it; set JAVA_HOME")
  if [ ! -f "$dir/second/meta.properties" ]; then
    broker_settings 1 | sed -e 's/^process.roles=.*/process.roles=broker/' -e 's/^node.id=.*/node.id=2/' -e "s|^log.dirs=.*|log.dirs=$dir/second|" \
      -e "s|^\(advertised.\)*listeners=.*|\1listeners=PLAINTEXT://127.0.0.1:$SECOND_PORT|" >"$dir/second.properties"
    "$java" -XX:TieredStopAtLevel=1 -cp "$kafka_home/*" kafka.tools.StorageTool format -c "$dir/second.properties" \
      -t "$(sed -n 's/^cluster.id=//p' "$dir/data/meta.properties")" >"$dir/format.log" 2>&1 ||
      fail "the second broker's folder could not be prepared; see $dir/format.log"
  fi
  free "$SECOND_PORT"
  launch second "$java" -Xms256m -Xmx512m -cp "$kafka_home/*" kafka.Kafka "$dir/second.properties"
  answer second "127.0.0.1:$SECOND_PORT" tcp "$SECOND_PORT"
}

# start_broker N, whose folder is made when it is not there. All brokers' folders say the same id of the cluster.
start_broker() {
  local name=$(name_of "$1") data=$dir/$(data_of "$1") port=$(port_of "$1") file=$dir/server$(name_of "$1" | sed 's/broker//').properties java
  running "$name" && return
  java=$(java_of 17 "Kafka needs it; set JAVA_HOME")
  if [ ! -f "$data/meta.properties" ]; then
    broker_settings "$1" >"$file"
    rm -rf "$data"
    "$java" -XX:TieredStopAtLevel=1 -cp "$kafka_home/*" kafka.tools.StorageTool format -c "$file" \
      -t "$(cat "$dir/cluster.id")" >"$dir/format-$1.log" 2>&1 ||
      fail "the broker's folder could not be prepared; see $dir/format-$1.log"
  fi
  free "$port"
  local heap=-Xmx1g
  [ "$brokers" = 1 ] || heap=-Xmx384m
  launch "$name" "$java" -Xms256m "$heap" -XX:+UseG1GC -cp "$kafka_home/*" kafka.Kafka "$file"
  answer "$name" "127.0.0.1:$port" tcp "$port"
}

# each COMMAND N …: COMMAND of each number, at once; without numbers of all brokers.
each() {
  local command=$1 pids= n
  shift
  [ $# -gt 0 ] || set -- $(seq "$brokers")
  for n in "$@"; do
    "$command" "$n" &
    pids+=" $!"
  done
  for n in $pids; do wait "$n"; done
}

start_brokers() {
  [ -f "$dir/cluster.id" ] || head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c1-22 | sed 's/^-/A/' >"$dir/cluster.id"
  each start_broker "$@"
}

kill_broker() { stop "$(name_of "$1")" KILL; }
stop_broker() { stop "$(name_of "$1")" TERM; }

# The registry keeps its schemas in a file: by default they are in memory, and a restart would lose them.
start_registry() {
  running registry && return
  local java
  java=$(java_of 21 "the registry needs it; set JAVA21_HOME")
  free "$registry_port"
  QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$registry_port \
    QUARKUS_MANAGEMENT_HOST=127.0.0.1 QUARKUS_MANAGEMENT_PORT=$((registry_port + 1)) \
    APICURIO_STORAGE_KIND=sql APICURIO_STORAGE_SQL_KIND=h2 \
    APICURIO_DATASOURCE_URL="jdbc:h2:file:$dir/registry-db;WRITE_DELAY=0" \
    launch registry "$java" -Xmx512m -XX:TieredStopAtLevel=1 -jar "$registry_home/quarkus-run.jar"
  answer registry "$registry_api" http "$registry_api/subjects"
}

launch() { # NAME COMMAND…
  local name=$1
  shift
  setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

running() { # NAME
  [ -f "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null
}

tcp() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
http() { curl -fsS -o /dev/null --max-time 2 "$1" 2>/dev/null; }

# answer NAME ADDRESS CHECK ARGUMENT: waits until CHECK passes. An open port is not an answer for the registry: it opens
# before the schemas are loaded.
answer() {
  local _
  for _ in $(seq 720); do
    "$3" "$4" && return
    running "$1" || { tail -5 "$dir/$1.log" >&2; fail "the $1 stopped; see $dir/$1.log"; }
    sleep 0.25
  done
  fail "the $1 did not answer at $2 in 180 s; see $dir/$1.log"
}

# free PORT: a killed server's socket can outlive its process for a moment.
free() {
  local _
  for _ in $(seq 100); do
    tcp "$1" || return 0
    sleep 0.1
  done
  fail "port $1 is taken by another program; choose others with KAFKA_PORT and REGISTRY_PORT"
}

stop() { # NAME SIGNAL
  local pid _
  running "$1" || { rm -f "$dir/$1.pid"; return 0; }
  pid=$(cat "$dir/$1.pid")
  rm "$dir/$1.pid"
  kill -"$2" "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

watch_owner() {
  setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 2; done; exec "$2" down "$3"' watch "$OWNER" "$here/kafka.sh" "$dir" >/dev/null 2>&1 </dev/null &
}

case $cmd in
  up | down | kill-broker | stop-broker | start-broker | stop-second | start-second | kill-registry | start-registry)
    mkdir -p "${2:-.e2e}"
    dir=$(cd "${2:-.e2e}" && pwd)
    ;;
esac
case $cmd in
  install) install ;;
  up)
    command -v curl >/dev/null || fail "curl is not installed; it asks the registry whether it is up"
    [ "$kafka_port" -lt 32768 ] && [ "$registry_port" -lt 32768 ] || fail "choose KAFKA_PORT and REGISTRY_PORT below 32768: clients use the ports above"
    install
    start_brokers &
    kafka=$!
    start_registry
    wait "$kafka"
    [ -z "${OWNER:-}" ] || watch_owner
    at=
    for n in $(seq "$brokers"); do at+=,127.0.0.1:$(port_of "$n"); done
    echo "KAFKA=${at#,} REGISTRY=$registry_api"
    ;;
  down) stop registry TERM; stop second TERM; each stop_broker ;;
  kill-broker) each kill_broker "${@:3}" ;;
  stop-broker) each stop_broker "${@:3}" ;;
  start-broker) start_brokers "${@:3}" ;;
  stop-second) stop second TERM ;;
  start-second) start_second ;;
  kill-registry) stop registry KILL ;;
  start-registry) start_registry ;;
  transactions | consume | topics | consumer-groups)
    install
    case $cmd in
      transactions) tool=TransactionsCommand ;;
      consume) tool=consumer.ConsoleConsumer ;;
      topics) tool=TopicCommand ;;
      consumer-groups) tool=consumer.group.ConsumerGroupCommand ;;
    esac
    exec "$(java_of 17 "Kafka needs it; set JAVA_HOME")" -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
      -cp "$kafka_home/*" "org.apache.kafka.tools.$tool" "${@:2}"
    ;;
  *) usage ;;
esac
