// Command arrows counts how the files of a package lean on each other:
//
//	go run ./connector/internal/arrows [-v] [-map NAME] [PACKAGES]
//
// PACKAGES are as the go command takes them (./connector/...); each is a room, and tests don't count.
// A file that uses a function, type, variable, constant, method or field that is declared in another
// file of its room has an arrow to that file, one for a pair however often. For each room it prints
//
//	files     and lines, comments included
//	arrows    within the room
//	circles   those of the arrows that lie on a circle: from where they end a way leads back
//	upward    those that run against the order of the files: the order in which the fewest do, or, with
//	          -map, the one in which the room's file of that name (doc.go) first names them
//	floors    the longest way along the arrows that run with the order, in files
//	out       arrows from its files to those of the other rooms: these can't run upward, as
//	          imports have no circles
//
// The fewest are found by trying, from many orders to begin with, always the same ones: a file is moved
// to where it has the fewest against it, until none can be moved. A room without upward arrows can be
// read down.
// With -v it prints the order, too, and each upward arrow with what is used across it.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	verbose := flag.Bool("v", false, "print the order of each room and its upward arrows")
	named := flag.String("map", "", "the `file` of a room whose text has the order")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./connector/..."}
	}
	rooms, err := load(patterns)
	if err == nil {
		err = report(os.Stdout, rooms, *named, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "arrows:", err)
		os.Exit(1)
	}
}

// report prints the table, the rooms with most upward arrows first.
func report(w io.Writer, rooms []*room, named string, verbose bool) error {
	plans := make(map[*room]plan, len(rooms))
	for _, r := range rooms {
		order := fewestUpward(r)
		if named != "" {
			text, err := os.ReadFile(filepath.Join(r.dir, named))
			if err == nil {
				order = firstNamed(r, string(text))
			} else if !os.IsNotExist(err) {
				return err
			}
		}
		plans[r] = planOf(r, order)
	}
	slices.SortStableFunc(rooms, func(a, b *room) int {
		return cmp.Or(len(plans[b].upward)-len(plans[a].upward), len(b.arrows)-len(a.arrows), b.lines-a.lines)
	})
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "files\tlines\tarrows\tcircles\tupward\tfloors\tout\t room")
	var sum [7]int
	for _, r := range rooms {
		p := plans[r]
		row := [...]int{len(r.files), r.lines, len(r.arrows), p.circles, len(p.upward), p.floors, r.out}
		for i, n := range row {
			fmt.Fprintf(tab, "%d\t", n)
			sum[i] += n
		}
		sum[5] = max(sum[5]-p.floors, p.floors)
		fmt.Fprintln(tab, "", r.name)
	}
	for _, n := range sum {
		fmt.Fprintf(tab, "%d\t", n)
	}
	fmt.Fprintln(tab, " all (floors: the most)")
	if err := tab.Flush(); err != nil || !verbose {
		return err
	}
	for _, r := range rooms {
		p := plans[r]
		if len(p.upward) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", r.name, strings.Join(p.order, " "))
		for _, a := range p.upward {
			fmt.Fprintf(w, "  %s → %s: %s\n", a.from, a.to, strings.Join(slices.Sorted(maps.Keys(r.arrows[a])), " "))
		}
	}
	return nil
}

var fileName = regexp.MustCompile(`\w+\.go`)

// firstNamed is the order in which a text first names a room's files; those that it does not name come last.
func firstNamed(r *room, text string) []string {
	var order []string
	for _, name := range append(fileName.FindAllString(text, -1), r.files...) {
		if slices.Contains(r.files, name) && !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	return order
}
