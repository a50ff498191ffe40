// Command figures writes connector/FIGURES.md from what `make bench` printed, which it reads: lines in the
// form of Go's benchmarks. A figure that the page shows and the benchmarks did not print is an error.
package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed page.md.tmpl
var page string

func main() {
	if err := run(os.Stdin, os.Stdout, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// figures are the values of each benchmark, by its name without "Benchmark" and by
// unit; several of a name are of several runs. cpu is the machine's processor.
type figures struct {
	values map[string]map[string][]float64
	cpu    string
}

func run(in io.Reader, out io.Writer, now time.Time) error {
	f, err := read(in)
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"get": f.get, "names": f.names, "sum": f.sum, "last": last, "div": func(a, b float64) float64 { return a / b },
		"mul": func(a, b float64) float64 { return a * b }, "f": fixed, "n": grouped, "span": span,
		"list": func(of ...any) []any { return of },
	}).Parse(page)
	if err != nil {
		return err
	}
	commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("git rev-parse HEAD: %w", err)
	}
	return t.Execute(out, map[string]any{
		"date": now.UTC().Format(time.DateOnly), "commit": strings.TrimSpace(string(commit)), "cpu": f.cpu, "cores": runtime.NumCPU(),
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
	})
}

// procs ends the names of benchmarks that run with more than one processor.
var procs = regexp.MustCompile(`-\d+$`)

func read(in io.Reader) (figures, error) {
	f := figures{values: map[string]map[string][]float64{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if cpu, ok := strings.CutPrefix(lines.Text(), "cpu: "); ok {
			f.cpu = cpu
		}
		words := strings.Fields(lines.Text())
		if len(words) < 4 || len(words)%2 != 0 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := procs.ReplaceAllString(strings.TrimPrefix(words[0], "Benchmark"), "")
		if f.values[name] == nil {
			f.values[name] = map[string][]float64{}
		}
		for i := 2; i < len(words); i += 2 {
			v, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return f, fmt.Errorf("%q: %w", lines.Text(), err)
			}
			f.values[name][words[i+1]] = append(f.values[name][words[i+1]], v)
		}
	}
	return f, lines.Err()
}

// get is the median of a benchmark's runs.
func (f figures) get(name, unit string) (float64, error) {
	all := slices.Sorted(slices.Values(f.values[name][unit]))
	if len(all) == 0 {
		return 0, fmt.Errorf("no benchmark %s has printed %s", name, unit)
	}
	return all[len(all)/2], nil
}

// names are those of the benchmarks below one, sorted, numbers in them by their size.
func (f figures) names(below string) ([]string, error) {
	var all []string
	for name := range f.values {
		if rest, ok := strings.CutPrefix(name, below+"/"); ok {
			all = append(all, rest)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no benchmark below %s has printed anything", below)
	}
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) && a[0] <= '9' && b[0] <= '9' {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return all, nil
}

// sum adds up what the benchmarks below one have printed.
func (f figures) sum(below, unit string) (sum float64, err error) {
	all, err := f.names(below)
	for _, name := range all {
		v, err := f.get(below+"/"+name, unit)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, err
}

// last is what follows the last slash.
func last(name string) string { return name[strings.LastIndex(name, "/")+1:] }

func fixed(digits int, v float64) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// grouped is a number as people write it: 12,345.
func grouped(v float64) string {
	text := fixed(0, v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// span is a time as people say it.
func span(seconds float64) string {
	switch {
	case seconds < 100:
		return fixed(0, seconds) + " s"
	case seconds < 100*60:
		return fixed(0, seconds/60) + " min"
	case seconds < 100*3600:
		return fixed(1, seconds/3600) + " h"
	}
	return fixed(1, seconds/86400) + " days"
}
