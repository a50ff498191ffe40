//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// deadLetters has the registry refuse a schema, so that rows become dead
// letters; lifts that; and sends them again with `coupastream replay`, killed
// once and called until nothing is left. The judge then wants each row once.
func (p *parts) deadLetters(t *testing.T) {
	begun := time.Now()
	const letters = 700
	tenant := p.tenant(t, "letters", "--rows", fmt.Sprint(letters), "--changes-per-second", "0")
	dead := tenant.name + ".dead"
	w := p.worker(t, tenant, map[string]string{
		"coupa.objects": "suppliers", "schema.conflict": "deadletter", "errors.deadletterqueue.topic.name": dead,
	})
	subject := tenant.name + ".suppliers-value"
	p.putRegistry(t, http.MethodPost, "/subjects/"+subject+"/versions", map[string]string{
		"schema": `{"type":"record","name":"Supplier","namespace":"coupa","fields":[{"name":"id","type":{"type":"array","items":"long"}}]}`,
	})
	p.putRegistry(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": "BACKWARD"})
	w.start()
	adm := p.admin(t)
	if err := await(t.Context(), "dead letters", 2*time.Minute, func() error {
		w.alive(t)
		ends, err := endOffsets(t.Context(), adm, []string{dead})
		if err == nil && ends[dead] < letters {
			err = fmt.Errorf("%d of %d", ends[dead], letters)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.putRegistry(t, http.MethodPut, "/config/"+subject, map[string]string{"compatibility": "NONE"})
	killed := launch(t, w.logs+"-replay", p.binary, "replay", w.connector, "--worker", w.worker)
	if err := await(t.Context(), "the first letters to go", time.Minute, func() error {
		ends, err := endOffsets(t.Context(), adm, w.topicNames())
		if err == nil && ends[w.topicNames()[0]] == 0 {
			err = fmt.Errorf("none yet")
		}
		return err
	}); err != nil {
		t.Fatalf("%v\n%s", err, tail(killed.stderr, 5))
	}
	killed.kill()
	first, second := w.replay(t), w.replay(t)
	t.Logf("after a replay that was killed: %+v, then %+v", first, second)
	if first.Failing+second.Failing+second.Replayed+second.Overtaken != 0 {
		t.Errorf("the last replay found letters that had gone, or could not go")
	}
	w.mustHold(t, begun)
	w.stop(t)
}

// replayed is the line of `coupastream replay -o json`.
type replayed struct {
	Object                       string
	Replayed, Overtaken, Failing int
}

// replay runs `coupastream replay` to its end.
func (w *worker) replay(t *testing.T) replayed {
	t.Helper()
	all, err := readReplay(exec.CommandContext(t.Context(), w.parts.binary, "replay", w.connector, "--worker", w.worker, "-o", "json"))
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v: %v", all, err)
	}
	return all[0]
}

// readReplay runs `coupastream replay -o json` to its end.
func readReplay(cmd *exec.Cmd) (all []replayed, err error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("replay: %w\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("replay says %s: %w", out, err)
	}
	return all, nil
}

// putRegistry sends a request to the registry that must succeed.
func (p *parts) putRegistry(t *testing.T, method, path string, body any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.registry+path, strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}
