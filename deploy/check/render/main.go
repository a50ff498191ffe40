// Command render prints a chart's manifests: render CHART RELEASE [VALUES].
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/coupastream/coupastream/deploy/check"
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: render CHART RELEASE [VALUES]")
		os.Exit(2)
	}
	log.SetOutput(io.Discard) // Helm tells of each link that it follows
	manifests, err := check.Render(os.Args[1], os.Args[2], append(os.Args, "")[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
	fmt.Print(manifests)
}
