// Package e2e tests coupastream on real parts: the built binary, a real Kafka broker, a real
// Schema Registry, a simulated Coupa instance in a process of its own, and readers that are none
// of ours: a judge (Kafka's consumer and Apache Avro's reader, in Java), a consumer (librdkafka,
// fastavro and jsonschema, in Python), and Debezium's own transformation (in Java). Its REST API
// is used by clients of Kafka Connect that are none of ours, in Python, Go, JavaScript and Java.
//
// The package holds tests only, behind the build tag e2e:
//
//	go test -tags e2e -count=1 -v -timeout 30m ./connector/internal/e2e/
//	go test -tags e2e -short -skip 'TestCrash|TestSinks' -count=1 -v -timeout 30m ./connector/internal/e2e/
//	go test -tags e2e -run '^$' -bench Real -benchtime 1x -timeout 40m ./connector/internal/e2e/
//
// With -short it leaves out a month of commits, nginx, two brokers, DataHub, kill -9 during sweeps, marks and
// changes of the config topic, a storm of doorbells, the runbook's steps for a transaction that hangs, and
// the tasks; a worker of several is frozen for 12 s and not for 75 s as well, and ended once and not twice
// in each way; histories have 2000 rows, and change for 20 s; the checkpoint topic is deleted and not purged
// as well.
//
// It needs bash, curl, mvn, a JDK 17, a Java 21, Python 3 with venv, and Node.js with npm (see
// kafka.sh, java.sh, consumer.sh, rounds.sh); without -short it needs nginx, or apt-get to fetch it
// with (nginx.sh). The first run fetches Kafka and the registry
// from Maven Central, and the consumer's libraries by pip, into a cache; later ones don't.
//
//	E2E_SEED       the seed of everything that is random: the tenant's data, the moments of the kills;
//	               printed by each run
//	E2E_BOOTSTRAP  and E2E_REGISTRY: a broker and a registry that are up already, instead of starting some
//	E2E_BINARY     a coupastream that is built already
//	E2E_OLDER      one of an older version, for an upgrade and the way back
//	E2E_WORK       a folder for files and logs that stays after the run
//	E2E_ROWS       rows of each object in a snapshot (5000; in short 2000)
//	E2E_BENCH_TENANTS    tenants of benchmarks (10,200,1000), with E2E_BENCH_OBJECTS (20) objects each
//	E2E_BENCH_CONNECTORS connectors of another (2000)
//	E2E_ALLOW      faults, by comma, that are told and don't fail a test: stale_lines, …
//	E2E_CHANGES    how long rows change while the connector streams (60s; in short 20s)
//	E2E_CUTS       how often the power is cut (40)
//	E2E_INCIDENTS  how many incidents the crash suite draws (60)
//	E2E_SCENE      the one scene of it to play, from 1
//	E2E_PROOF      where its table goes (proof.md in E2E_WORK)
//	E2E_SINKS      the sinks to try, by comma (all)
//	E2E_SINKS_TABLE      the document that gets the table of their results (none)
//	E2E_SCENES_AT_ONCE   how many of its scenes run side by side (3)
//	E2E_BROKERS    how many brokers (1); with 3, the crash suite strikes them and the network before them
//	E2E_KAFKA      their version (rig.xml's)
//
// # File map
//
//	kafka.sh rig.xml              brokers and registry: install, start, stop, kill
//	java.sh                       compiles and runs the programs in Java
//	classes.sh classes/           Java classes of all schemas in one build (make classes)
//	contracts.sh contracts/       data contracts of all objects, linted, and tested against live topics, by
//	                              datacontract-cli (make contracts)
//	lineage.sh lineage/           OpenLineage events, read by openlineage-python (make lineage)
//	judge/                        the judge: what a tenant went through against what its topics hold
//	unwrap/                       topics read through Debezium's ExtractNewRecordState, as a sink of Kafka
//	                              Connect does
//	consumer.sh consumer/         the consumer: every format, decoded by what the registry has
//	rounds.sh rounds/ sourcelab/  clients of Kafka Connect, and the round that each makes
//	clients_test.go               what they do with two workers of one group
//	handling_test.go              contradictions are widened, rows that are too large are cut
//	letters_test.go               dead letters are sent again
//	explain_real_test.go          why rows are in their topic, against Kafka's console consumer
//	formats_test.go               what the consumer and unwrap read, against what the tenant has
//	lines_real_test.go            lines in topics of their own; lines_verdict_test.go is what must hold
//	                              of them
//	levels_test.go                custom fields under levels of compatibility other than BACKWARD
//	deletes_real_test.go          rows that are deleted or hidden, another instance, and kill -9 in sweeps
//	exported_real_test.go         marks of rows as exported, and kill -9
//	power_real_test.go            a worker whose disk forgets at a cut of power what was not synced
//	lost_registry_test.go         a registry that comes back empty
//	lost_positions_test.go        a checkpoint topic that is deleted or purged
//	parts_test.go                 the parts of one run: broker, registry, binary
//	process_test.go               a child process, its logs, its CPU time and memory
//	tenant_test.go                a simulated Coupa instance
//	worker_test.go                `coupastream run` with its two files
//	verdict_test.go               running the judge, and waiting until the connector has caught up
//	real_test.go                  the scenarios
//	doorbell_real_test.go         doorbells without a pause, and how soon one is answered
//	compact_test.go               the checkpoint topic on a broker that compacts it
//	sinks_test.go                 data platforms and programs of deploy/sinks and deploy/consumers, against
//	                              what the tenant has (make sinks); sinks.sh runs them, with sinks/
//	crash_test.go                 the crash suite: many scenes of random incidents; connector/PROOF.md says
//	                              what it is to show
//	crash_plan_test.go            which incidents make up which scene, drawn from the seed
//	crash_scene_test.go           a scene: tenants, workers, incidents, the judge at its end;
//	                              crash_actor_test.go is one of its workers
//	crash_incident_test.go        how each kind of incident is carried out; so in crash_group_test.go,
//	                              crash_parts_test.go, crash_disk_test.go and crash_request_test.go
//	crash_brokers_test.go         incidents of three brokers; crash_epochs_test.go, at the end of an id's
//	                              epochs; crash_proxy_test.go, of the network; crash_rights_test.go, of who
//	                              workers are and what they may do
//	crash_beside_test.go          what goes on beside: doorbells, and dead letters that are sent again
//	crash_watch_test.go           what the topics say while a scene goes on
//	crash_report_test.go          the table
//	membership_real_test.go       several workers of one group
//	configtopic_real_test.go      writers of one config topic, stopped and killed
//	skipped_marker_test.go        a partition has no leader when a shard's transaction ends: two brokers
//	runbook_test.go               the runbook's steps for a transaction that hangs, played
//	tasks_test.go                 what deploy/TASKS.md says of tasks, played
//	quota_real_test.go            transactions under a quota of the broker's
//	refuse_test.go                parts that do not answer, or say no
//	answers_test.go               what Coupa answers against its contract, beside tenants that answer well
//	nginx_test.go nginx.sh        Debian's nginx before a tenant, over HTTP/1.1 and HTTP/2
//	faults_test.go                the judge is shown each fault that it must find; forge_test.go writes them
//	anomalies_test.go             the same of transactions that are torn, or not what they say
//	bench_test.go                 speed, CPU and memory; floor_test.go is what they are compared with.
//	                              hostile_bench_test.go: tenants beside those that answer badly, or hang;
//	                              tenants_bench_test.go: hundreds of them, and thousands of connectors.
//	                              Of a shard alone: shard_bench_test.go of package connector
package e2e
