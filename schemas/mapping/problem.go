package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/schemas/nearest"
)

// Problem is one thing that is wrong with a mapping.
type Problem struct {
	File    string // as given to Parse
	Line    int    // from 1; 0: the file as a whole
	Column  int    // from 1
	Path    string // where in the mapping: objects.invoices.leave-out.image-scan
	Message string
	Remedy  string
}

// Error is one line: file:line:column: path: message; remedy.
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Line > 0 && p.File != "":
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d, column %d: ", p.Line, p.Column)
	case p.File != "":
		b.WriteString(p.File + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is everything that is wrong, in the order of the
// files. It is never empty where an error is told by it.
type Problems []Problem

// Error joins the problems' lines.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil turns no problems into a nil error.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return ps
}

// position is a place in a mapping.
type position struct {
	file         string
	line, column int
	path         string
}

func (at position) problem(remedy, format string, args ...any) Problem {
	return Problem{at.file, at.line, at.column, at.path, fmt.Sprintf(format, args...), remedy}
}

// mostListed is how many names a remedy lists where none is near.
const mostListed = 20

// oneOf is the remedy that names what is known.
func oneOf(name string, candidates []string) string {
	if len(candidates) == 0 {
		return "leave it out"
	}
	if near := nearest.Of(name, candidates, "-_"); near != "" {
		return "the nearest is " + near
	}
	if len(candidates) <= mostListed {
		return "there are " + strings.Join(candidates, ", ")
	}
	return "coupastream schema lists an object's fields, coupastream objects the objects"
}
