// Command generate writes schemas/avsc/*.avsc from schemas/catalogue.
// It runs in the folder schemas: go generate ./schemas
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/coupastream/coupastream/schemas/internal/catalogue"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	c, err := catalogue.Load(os.DirFS("catalogue"))
	if err != nil {
		return err
	}
	for _, path := range c.Streams() {
		row, err := c.Draft(path)
		if err != nil {
			return err
		}
		text, err := schematext.Pretty(row)
		if err != nil {
			return err
		}
		file := filepath.Join("avsc", filepath.FromSlash(path)+".avsc")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
