package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
)

func TestJustTheMarkedPartIsReplaced(t *testing.T) {
	updated, err := replaced([]byte("# Title\n" + referenceBegin + "\nold\n" + referenceEnd + "\nrest\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Title\n" + referenceBegin + "\n\n" + config.Reference() + "\n" + referenceEnd + "\nrest\n"; string(updated) != want {
		t.Errorf("got:\n%s", updated)
	}
	again, err := replaced(updated)
	if err != nil || !bytes.Equal(again, updated) {
		t.Errorf("a second update changed the document (%v)", err)
	}
	if _, err := replaced([]byte("no marks")); err == nil {
		t.Error("a document without the marks was accepted")
	}
}

// TestReadmeHoldsTheReference fails when a declaration was
// changed and the README was not: go generate updates it.
func TestReadmeHoldsTheReference(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	updated, err := replaced(readme)
	if err != nil {
		t.Fatal("README.md: ", err)
	}
	if !bytes.Equal(readme, updated) {
		t.Error("README.md does not hold the present reference; run: go generate ./connector/config")
	}
}
