package config

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// env is the environment of all tests.
func env(name string) (string, bool) {
	value, found := map[string]string{
		"COUPA_ID":       "client",
		"COUPA_SECRET":   "from-the-environment",
		"COUPA_HOOK":     "https://hooks.example.com/from-the-environment",
		"KAFKA_PASSWORD": "kafka-password",
	}[name]
	return value, found
}

// load reads a file as its name says: worker-…, connector-…, or by its content.
func load(path string) (any, error) {
	switch kind, _, _ := strings.Cut(filepath.Base(path), "-"); kind {
	case "worker":
		return LoadWorker(path, env)
	case "connector":
		return LoadConnector(path, env)
	}
	w, c, err := Load(path, env)
	if w != nil {
		return w, err
	}
	return c, err
}

// files lists the configurations of a folder and makes it
// the current one, so that messages hold plain names.
func files(t *testing.T, folder string) []string {
	t.Helper()
	t.Chdir(folder)
	var found []string
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".golden" {
			found = append(found, e.Name())
		}
	}
	return found
}

// golden compares text with a file, or writes the file with -update.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", text, path, want)
	}
}

// Golden files hold what differs from the result of the kind's minimal.yaml, and of a list of
// objects what differs from its first one. So a new key changes the golden file of minimal.yaml alone.
func TestGoodFilesGiveTypedResults(t *testing.T) {
	for _, path := range files(t, "testdata/good") {
		t.Run(path, func(t *testing.T) {
			kind, _, _ := strings.Cut(path, "-")
			var base any
			if minimal := kind + "-minimal.yaml"; path != minimal {
				base = result(t, minimal)
			}
			text, err := json.MarshalIndent(changed(result(t, path), base), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, path+".golden", string(text)+"\n")
		})
	}
}

// result is what a file gives, as maps and lists.
func result(t *testing.T, path string) (r map[string]any) {
	t.Helper()
	loaded, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(loaded)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// changed is what of got is not in base.
func changed(got, base any) any {
	switch got := got.(type) {
	case map[string]any:
		before, _ := base.(map[string]any)
		left := map[string]any{}
		for name, value := range got {
			if was, found := before[name]; !found || !reflect.DeepEqual(value, was) {
				left[name] = changed(value, was)
			}
		}
		for name := range before {
			if _, found := got[name]; !found {
				left[name] = "gone"
			}
		}
		return left
	case []any:
		before, _ := base.([]any)
		var left []any
		for _, value := range got {
			if len(before) > 0 {
				value = changed(value, before[0])
			} else {
				before = []any{value}
			}
			left = append(left, value)
		}
		return left
	}
	return got
}

func TestBadFilesGiveTheirMessages(t *testing.T) {
	for _, path := range files(t, "testdata/bad") {
		t.Run(path, func(t *testing.T) {
			_, err := load(path)
			if err == nil {
				t.Fatal("no problem found")
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret in the message: %s", err)
			}
			golden(t, path+".golden", err.Error()+"\n")
		})
	}
}

func TestFilesAreToldApartByTheirContent(t *testing.T) {
	for _, path := range files(t, "testdata/good") {
		w, c, err := Load(path, env)
		if err != nil {
			t.Fatal(err)
		}
		if got := w != nil; got != strings.HasPrefix(path, "worker") || got == (c != nil) {
			t.Errorf("%s: worker %v, connector %v", path, w != nil, c != nil)
		}
	}
}
