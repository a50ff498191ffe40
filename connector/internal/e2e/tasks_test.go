//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tasksDocument has the tasks that are played here.
const tasksDocument = "../../../deploy/TASKS.md"

// TestTasks plays what deploy/TASKS.md says of tasks that no other test plays: its commands run as they
// stand.
func TestTasks(t *testing.T) {
	t.Parallel()
	nightly(t)
	for _, tool := range []string{"jq", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	p := start(t, "")
	for heading, scene := range map[string]func(*play, *testing.T){
		"Upgrade":                     (*play).upgrade,
		"Backup and restore":          (*play).restore,
		"Another Kafka cluster":       (*play).anotherCluster,
		"Another registry":            (*play).anotherRegistry,
		"A new Coupa secret":          (*play).newSecret,
		"A tenant to another group":   (*play).anotherGroup,
		"From files to REST, or back": (*play).fromFiles,
		"Removal":                     (*play).removal,
	} {
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			scene(p.task(t, heading), t)
		})
	}
}

// play is one task's section, and the folder in which its commands run, with the files of a worker.
type play struct {
	parts  *parts
	begun  time.Time
	dir    string
	blocks []string // of commands that have not run yet
	env    []string
	*worker
}

// task makes the tenant and the files of a task's worker; its connector is none of the worker's files.
func (p *parts) task(t *testing.T, heading string) *play {
	t.Helper()
	text, err := os.ReadFile(tasksDocument)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found || !strings.Contains(section, "**Played") {
		t.Fatalf("TASKS.md has no section %q, or it does not say that it is played", heading)
	}
	short := strings.ToLower(regexp.MustCompile(`\W+`).ReplaceAllString(heading, "-"))
	k := &play{parts: p, begun: time.Now(), dir: filepath.Join(p.dir, short)}
	for _, block := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(section, -1) {
		k.blocks = append(k.blocks, block[1])
	}
	bin := filepath.Join(k.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err == nil {
		err = os.Symlink(p.binary, filepath.Join(bin, "coupastream"))
	}
	for _, tool := range []string{"topics", "consumer-groups"} {
		script := fmt.Sprintf("#!/bin/sh\nexec '%s/kafka.sh' %s \"$@\"\n", here, tool)
		err = errors.Join(err, os.WriteFile(filepath.Join(bin, "kafka-"+tool+".sh"), []byte(script), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	tenant := p.tenant(t, "acme-"+short, "--objects", "invoices,users", "--rows", "300", "--changes-per-second", "10")
	k.worker = k.workerOf(t, tenant, "worker.yaml", nil)
	k.state = filepath.Join(k.dir, "state")
	k.set(t, "state.dir", k.state)
	k.env = []string{
		"COUPASTREAM_URL=" + k.listener, "BROKER=" + p.bootstrap, "REGISTRY=" + p.registry, "GROUP=" + tenant.name,
		"PATH=" + bin + ":" + os.Getenv("PATH"),
	}
	return k
}

// workerOf makes a worker of the task whose file has a name in its folder; acme.yaml is the connector's.
func (k *play) workerOf(t *testing.T, tenant *tenant, file string, settings map[string]string) *worker {
	t.Helper()
	all := map[string]string{"coupa.objects": "invoices,users", "worker:config.providers.file.param.allowed.paths": k.dir}
	maps.Copy(all, settings)
	w := k.parts.worker(t, tenant, all)
	secrets := filepath.Join(k.dir, "coupa.properties")
	var posted struct{ Config map[string]string }
	text, err := os.ReadFile(w.connector)
	if err == nil {
		err = json.Unmarshal(text, &posted)
	}
	if err != nil {
		t.Fatal(err)
	}
	posted.Config["coupa.client.secret"] = "${file:" + secrets + ":client.secret}"
	lines := fmt.Sprintf("name: %q\n", tenant.name)
	for key, value := range posted.Config {
		lines += fmt.Sprintf("%s: %q\n", key, value)
	}
	for _, err := range []error{
		os.Rename(w.worker, filepath.Join(k.dir, file)),
		os.WriteFile(filepath.Join(k.dir, "acme.yaml"), []byte(lines), 0o600),
		os.WriteFile(secrets, []byte("client.secret="+tenant.secret+"\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.worker, w.connector = filepath.Join(k.dir, file), ""
	return w
}

// next runs the section's next block of commands, which has to succeed, and gives what it prints.
func (k *play) next(t *testing.T, env ...string) string {
	t.Helper()
	if len(k.blocks) == 0 {
		t.Fatal("TASKS.md has no further commands for it")
	}
	commands := strings.NewReplacer("acme.yaml", "acme.yaml", "acme", k.tenant.name).Replace(k.blocks[0])
	k.blocks = k.blocks[1:]
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = k.dir, append(append(os.Environ(), k.env...), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	t.Logf("%s\n%s%s", strings.TrimSpace(commands), out, errs.String())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// done is the end of a task: all its commands have run.
func (k *play) done(t *testing.T) {
	t.Helper()
	if len(k.blocks) > 0 {
		t.Errorf("TASKS.md says more: %s", k.blocks[0])
	}
}

// create makes the connector over REST.
func (k *play) create(t *testing.T) {
	t.Helper()
	k.up(t, k.worker)
	k.coupastream(t, "connectors", "create", "-f", "acme.yaml", "--url", k.listener)
}

// coupastream is a command beside those of the document.
func (k *play) coupastream(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), k.parts.binary, args...)
	cmd.Dir = k.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("coupastream %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// up starts a worker and waits until it is ready.
func (k *play) up(t *testing.T, w *worker) {
	t.Helper()
	w.start()
	if err := await(t.Context(), "the worker", time.Minute, func() error {
		w.alive(t)
		_, err := get(t.Context(), w.listener+"/readyz")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// goesOn waits until every topic has got records behind where it ended.
func (k *play) goesOn(t *testing.T, w *worker, adm *kadm.Client, before map[string]int64) map[string]int64 {
	t.Helper()
	var after map[string]int64
	if err := await(t.Context(), "records", time.Minute, func() (err error) {
		w.alive(t)
		after, err = endOffsets(t.Context(), adm, w.topicNames())
		for topic, end := range after {
			if end <= before[topic]+20 {
				err = fmt.Errorf("%s ends at %d", topic, end)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return after
}

// allRun waits until all objects run.
func (k *play) allRun(t *testing.T, w *worker) {
	t.Helper()
	if err := await(t.Context(), "all objects to run", time.Minute, func() error {
		w.alive(t)
		tasks, err := tasksOf(w.listener, w.tenant.name)
		for _, one := range tasks {
			if one.State != "RUNNING" {
				err = fmt.Errorf("%+v", tasks)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// holdsBut judges as mustHold does, but for records that are there twice because positions were moved:
// these have to say so.
func (k *play) holdsBut(t *testing.T, w *worker) {
	t.Helper()
	w.tenant.pause(t)
	if err := atRest(t.Context(), w.parts.admin(t), w.topicNames(), 5*time.Second, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	verdicts, err := judge(t.Context(), docket{bootstrap: w.parts.bootstrap, registry: w.parts.registry, control: w.tenant.url, tenant: w.tenant.name,
		poll: w.poll, since: k.begun, topics: w.topics(), fields: w.fields(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts {
		t.Log(v)
		requested := 0
		for _, r := range w.parts.committed(t, v.Topic) {
			if slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "coupa.reason" && string(h.Value) == "requested" }) {
				requested++
			}
		}
		if v.Repeated > requested {
			t.Errorf("%s: %d records are there twice, and %d say that they were requested", v.Object, v.Repeated, requested)
		}
		if v.Repeated = 0; v.findings() != "" {
			t.Errorf("%s: %s", v.Object, v.findings())
		}
	}
}

func (k *play) newSecret(t *testing.T) {
	adm := k.parts.admin(t)
	k.create(t)
	k.goesOn(t, k.worker, adm, nil)
	k.tenant.post(t, "/_tenant/secret?secret=made+anew") // the tokens are withdrawn with it
	k.coupastream(t, "restart", k.tenant.name, "--include-tasks", "--url", k.listener)
	k.says(t, "invalid_client")
	k.next(t, "SECRET=made anew")
	k.next(t)
	k.allRun(t, k.worker)
	if said := k.next(t); strings.Contains(said, "invalid_client") {
		t.Errorf("status: %s", said)
	}
	ends, err := endOffsets(t.Context(), adm, k.topicNames())
	if err != nil {
		t.Fatal(err)
	}
	k.goesOn(t, k.worker, adm, ends)
	k.mustHold(t, k.begun)
	k.done(t)
}

func (k *play) anotherGroup(t *testing.T) {
	adm := k.parts.admin(t)
	k.create(t)
	before := k.goesOn(t, k.worker, adm, nil)
	other := k.workerOf(t, k.tenant, "other.yaml", map[string]string{
		"worker:group.id": k.tenant.name + "-more", "worker:state.dir": filepath.Join(k.dir, "other"), "worker:checkpoint.topic.partitions": "16",
	})
	other.logs += "-other"
	k.up(t, other)
	k.next(t)
	k.next(t, "OTHER="+other.listener)
	k.allRun(t, other)
	k.goesOn(t, other, adm, before)
	k.next(t, "OTHER="+other.listener)
	k.stop(t)
	k.holdsBut(t, other)
	if n := len(k.parts.committed(t, k.tenant.name+"-more-checkpoints")); n == 0 {
		t.Error("the other group has no positions")
	}
	k.done(t)
}

func (k *play) fromFiles(t *testing.T) {
	adm := k.parts.admin(t)
	k.connector = filepath.Join(k.dir, "acme.yaml")
	k.start()
	before := k.goesOn(t, k.worker, adm, nil)
	k.stop(t)
	k.connector = ""
	k.up(t, k.worker)
	k.next(t)
	before = k.goesOn(t, k.worker, adm, before)
	k.coupastream(t, "connectors", "delete", k.tenant.name, "--url", k.listener)
	k.stop(t)
	k.connector = filepath.Join(k.dir, "acme.yaml")
	k.start()
	k.goesOn(t, k.worker, adm, before)
	k.mustHold(t, k.begun)
	k.done(t)
}

func (k *play) removal(t *testing.T) {
	adm := k.parts.admin(t)
	k.create(t)
	k.goesOn(t, k.worker, adm, nil)
	k.next(t)
	k.stop(t)
	k.next(t)
	k.next(t)
	k.next(t)
	k.done(t)
	if err := await(t.Context(), "all of it to be gone", time.Minute, func() error {
		topics, err := adm.ListTopics(t.Context())
		for _, topic := range topics.Names() {
			if strings.HasPrefix(topic, k.tenant.name) {
				err = fmt.Errorf("%s is there", topic)
			}
		}
		groups, err2 := adm.ListGroups(t.Context())
		for _, group := range groups.Groups() {
			if strings.HasPrefix(group, k.tenant.name) {
				err = fmt.Errorf("the group %s is there", group)
			}
		}
		resp, err3 := http.Get(k.parts.registry + "/subjects")
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		defer resp.Body.Close()
		subjects, err := io.ReadAll(resp.Body)
		if strings.Contains(string(subjects), k.tenant.name) {
			err = fmt.Errorf("subjects: %s", subjects)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(k.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state.dir is there: %v", err)
	}
}

func (k *play) restore(t *testing.T) {
	adm := k.parts.admin(t)
	k.create(t)
	before := k.goesOn(t, k.worker, adm, nil)
	k.next(t)
	k.stop(t)
	k.next(t)
	k.up(t, k.worker)
	k.next(t)
	k.goesOn(t, k.worker, adm, before)
	k.mustHold(t, k.begun)

	k.tenant.resume(t)
	users := k.topics()["users"]
	if _, err := adm.DeleteTopic(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), "the topic to be made anew, and to be missed", 3*time.Minute, func() error {
		k.alive(t)
		said, err := get(t.Context(), k.listener+"/connectors/"+k.tenant.name+"/health")
		if err == nil && !strings.Contains(string(said), "INCOMPLETE") {
			err = errors.New("no object is INCOMPLETE")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	k.next(t)
	k.holdsBut(t, k.worker)
	k.done(t)
}

func (k *play) anotherRegistry(t *testing.T) {
	adm := k.parts.admin(t)
	k.create(t)
	before := k.goesOn(t, k.worker, adm, nil)
	k.stop(t)
	port := freePort(t)
	q := *k.parts
	q.rigDir, q.rigPorts = filepath.Join(k.dir, "rig"), []string{fmt.Sprintf("REGISTRY_PORT=%d", port), fmt.Sprintf("KAFKA_PORT=%d", freePort(t))}
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	q.registry = address + "/apis/ccompat/v7"
	t.Cleanup(func() { _ = q.rig("kill-registry") })
	if err := q.rig("start-registry"); err != nil {
		t.Fatal(err)
	}
	k.next(t, "OLD="+strings.TrimSuffix(k.parts.registry, "/apis/ccompat/v7"), "NEW="+address)
	k.set(t, "schema.registry.url", q.registry)
	k.worker.parts = &q
	k.up(t, k.worker)
	k.allRun(t, k.worker)
	k.goesOn(t, k.worker, adm, before)
	k.tenant.must(t, http.MethodPost, "/_tenant/objects/invoices/17/members/custom-fields", json.RawMessage(`{"came-later":7}`), nil)
	k.globals = []string{"came-later"}
	if err := await(t.Context(), "the new field in the new registry", time.Minute, func() error {
		k.alive(t)
		if !strings.Contains(q.latest(t, k.tenant.name+".invoices-value"), "came_later") {
			return errors.New("it is not there")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	k.mustHold(t, k.begun)
	if text, err := os.ReadFile(k.stderr); err != nil || strings.Contains(string(text), "CoupastreamSchemaIdsChanged") {
		t.Errorf("ids are others, or %v", err)
	}
	k.done(t)
}

func (k *play) anotherCluster(t *testing.T) {
	k.create(t)
	k.goesOn(t, k.worker, k.parts.admin(t), nil)
	k.stop(t)
	port := freePort(t)
	q := *k.parts
	q.rigDir, q.rigPorts = filepath.Join(k.dir, "rig"), []string{fmt.Sprintf("KAFKA_PORT=%d", port)}
	q.bootstrap = local(port)
	t.Cleanup(func() { _ = q.rig("kill-broker") })
	if err := q.rig("start-broker"); err != nil {
		t.Fatal(err)
	}
	for _, topic := range append(k.topicNames(), k.tenant.name+"-checkpoints", k.tenant.name+"-configs") {
		k.parts.mirror(t, &q, topic)
	}
	k.set(t, "bootstrap.servers", q.bootstrap)
	k.worker.parts = &q
	adm := q.admin(t)
	before, err := endOffsets(t.Context(), adm, k.topicNames())
	if err != nil {
		t.Fatal(err)
	}
	k.up(t, k.worker)
	k.allRun(t, k.worker)
	k.goesOn(t, k.worker, adm, before)
	k.next(t)
	k.next(t)
	k.goesOn(t, k.worker, adm, before)
	k.holdsBut(t, k.worker)
	if said := k.coupastream(t, "status", k.tenant.name, "--url", k.listener); strings.Contains(said, "INCOMPLETE") {
		t.Errorf("status: %s", said)
	}
	k.done(t)
}

// mirror copies what is committed of a topic to another cluster.
func (p *parts) mirror(t *testing.T, to *parts, topic string) {
	t.Helper()
	from, adm := p.admin(t), to.admin(t)
	details, err := from.ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	described, err := from.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	configs := map[string]*string{}
	for _, c := range described[0].Configs {
		if c.Key == "cleanup.policy" {
			configs[c.Key] = c.Value
		}
	}
	if _, err := adm.CreateTopic(t.Context(), int32(len(details[topic].Partitions)), 1, configs, topic); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(to.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range p.committed(t, topic) {
		copied := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
		cl.Produce(t.Context(), copied, nil)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// upgrade replaces the workers of a group, which are of an older version, and then puts the older ones back.
func (k *play) upgrade(t *testing.T) {
	older := os.Getenv("E2E_OLDER")
	if older == "" {
		t.Skip("E2E_OLDER names no older coupastream")
	}
	f := k.parts.sharingOf(t, older, "upgrade", 2, true, nil)
	for _, f.binary = range []string{k.parts.binary, older} {
		for _, m := range f.members {
			m.signal(syscall.SIGTERM)
			if status, err := m.wait(30 * time.Second); err != nil || status != 0 {
				t.Errorf("SIGTERM: status %d, %v", status, err)
			}
			f.start(m)
			f.settled(t)
			elapse(t, 5*time.Second)
		}
	}
	f.mustHold(t, k.begun)
}
