package config

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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

func TestGoodFilesGiveTypedResults(t *testing.T) {
	for _, path := range files(t, "testdata/good") {
		t.Run(path, func(t *testing.T) {
			result, err := load(path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(result, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, path+".golden", string(text)+"\n")
		})
	}
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
