// Command readme rewrites the configuration reference in a Markdown document, between its lines
// <!-- config:begin --> and <!-- config:end -->, from the declarations in package config.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/coupastream/coupastream/connector/config"
)

// The lines between which a document carries the reference.
const (
	referenceBegin = "<!-- config:begin -->"
	referenceEnd   = "<!-- config:end -->"
)

func main() {
	if err := update(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

// update rewrites the one document that args names.
func update(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("got %d arguments; give the path of one Markdown document", len(args))
	}
	document, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	updated, err := replaced(document)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], updated, 0o644)
}

// replaced gives a Markdown document with the part between those lines replaced by the reference.
// It fails when the document does not have these two lines in this order.
func replaced(document []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(document, []byte(referenceBegin+"\n"))
	_, after, closed := bytes.Cut(rest, []byte(referenceEnd))
	if !found || !closed {
		return nil, errors.New("the document has no lines " + referenceBegin + " and " + referenceEnd +
			"; put them where the reference shall stand")
	}
	return bytes.Join([][]byte{before, []byte(referenceBegin + "\n"), []byte("\n" + config.Reference() + "\n"),
		[]byte(referenceEnd), after}, nil), nil
}
