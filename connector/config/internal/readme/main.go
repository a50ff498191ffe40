// Command readme rewrites the configuration reference in a Markdown document, between its lines
// <!-- config:begin --> and <!-- config:end -->, from the declarations in package config.
package main

import (
	"fmt"
	"os"

	"github.com/coupastream/coupastream/connector/config"
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
	updated, err := config.UpdateReference(document)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], updated, 0o644)
}
