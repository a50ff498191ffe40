package connector_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// goFiles calls with the path and text of every Go file
// below a folder, but not with those that others wrote.
func goFiles(t *testing.T, root string, call func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			call(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const mostColumns = 110

// TestCommentsAreNarrow holds comments to what fits beside another file: a line that has one ends within 110
// columns, and a tab counts as 4.
func TestCommentsAreNarrow(t *testing.T) {
	goFiles(t, "..", func(path, text string) {
		lines, err := wideComments(path, text)
		if err != nil {
			t.Error(err)
		}
		for _, line := range lines {
			t.Errorf("%s:%d: a comment is wider than %d columns", path, line, mostColumns)
		}
	})
}

// wideComments are the lines whose comments are too wide. Directives may be, as may what an example prints
// and a line with a URL, which can't be broken; generated files are as their makers want them.
func wideComments(path, text string) ([]int, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ast.IsGenerated(file) {
		return nil, err
	}
	source := strings.Split(text, "\n")
	var wide []int
	for _, group := range file.Comments {
		if printed.MatchString(group.Text()) {
			continue
		}
		for _, comment := range group.List {
			if directive.MatchString(comment.Text) {
				continue
			}
			for n := fset.Position(comment.Pos()).Line; n <= fset.Position(comment.End()).Line; n++ {
				line := strings.ReplaceAll(source[n-1], "\t", "    ")
				if utf8.RuneCountInString(line) > mostColumns && !strings.Contains(comment.Text, "://") {
					wide = append(wide, n)
				}
			}
		}
	}
	return wide, nil
}

var (
	printed   = regexp.MustCompile(`^(?i:(unordered )?output:)`)
	directive = regexp.MustCompile(`^//[a-z]+:[a-z]`)
)

// TestFileMapsAreComplete holds doc.go's map of files to what is there.
func TestFileMapsAreComplete(t *testing.T) {
	maps := 0
	goFiles(t, ".", func(path, text string) {
		if filepath.Base(path) != "doc.go" {
			return
		}
		named := fileMap(text)
		if len(named) == 0 {
			return
		}
		maps++
		dir := filepath.Dir(path)
		for _, name := range named {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("%s: its map names %s: %v", path, name, err)
			}
		}
		there, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range there {
			name := filepath.Base(file)
			if name != "doc.go" && !strings.HasSuffix(name, "_test.go") && !slices.Contains(named, name) {
				t.Errorf("%s: its map does not name %s", path, name)
			}
		}
	})
	if maps == 0 {
		t.Error("no doc.go has a map of files")
	}
}

// fileMap is what a package comment's map names: of each of its lines, what stands before the first
// two spaces.
//
//	worker.go             from configuration to shards
//	metrics.go, vitals.go what is told of them
//	internal/harness/     not a file, but it has to be there, too
//
// A preformatted paragraph is a map if one of its lines begins with a Go file.
func fileMap(text string) []string {
	var named, paragraph []string
	isMap := false
	end := func() {
		if isMap {
			named = append(named, paragraph...)
		}
		paragraph, isMap = nil, false
	}
	for line := range strings.Lines(text) {
		line, preformatted := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "//\t")
		if !preformatted {
			end()
			continue
		}
		if strings.TrimLeft(line, " \t") != line || line == "" {
			continue // a story goes on
		}
		files, _, _ := strings.Cut(line, "  ")
		for i, name := range strings.FieldsFunc(files, func(r rune) bool { return r == ' ' || r == ',' }) {
			isMap = isMap || i == 0 && strings.HasSuffix(name, ".go")
			paragraph = append(paragraph, name)
		}
	}
	end()
	return named
}

// TestConsumersSayWhereTheyGoOn holds whoever makes a Kafka client that
// consumes to saying where it goes on when its offset is none of the topic's:
// the library's default, the last minute once more, fits nobody here.
func TestConsumersSayWhereTheyGoOn(t *testing.T) {
	consumers := 0
	goFiles(t, "..", func(path, text string) {
		if !strings.Contains(text, "franz-go/pkg/kgo") {
			return
		}
		silent, all, err := silentConsumers(path, text)
		if err != nil {
			t.Error(err)
		}
		for _, name := range silent {
			t.Errorf("%s: %s consumes without kgo.ConsumeResetOffset", path, name)
		}
		consumers += all
	})
	if consumers == 0 {
		t.Error("nobody consumes")
	}
}

// silentConsumers are the functions of a file that say what a Kafka client consumes, and not where it goes
// on; all counts those that say what.
func silentConsumers(path, text string) (silent []string, all int, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, 0, err
	}
	for _, decl := range file.Decls {
		function, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		consumes, says := false, false
		ast.Inspect(function, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				switch s.Sel.Name {
				case "ConsumeTopics", "ConsumePartitions", "AddConsumeTopics", "AddConsumePartitions":
					consumes = true
				case "ConsumeResetOffset":
					says = true
				}
			}
			return true
		})
		if consumes {
			all++
		}
		if consumes && !says {
			silent = append(silent, function.Name.Name)
		}
	}
	return silent, all, nil
}

// What the tests above look for, they find.
func TestWhatIsHeldIsFound(t *testing.T) {
	long := strings.Repeat("a long word ", 9)
	lines, err := wideComments("a.go", strings.Join([]string{
		"package a",
		"// " + long + long,
		"// https://example.com/ " + long + long,
		"//go:generate " + long + long,
		"/* short",
		long + long + "*/",
		"func ExampleA() {",
		"\t\t\t// " + long, // 12 + 3 + 108
		"\t_ = \"" + long + long + "\"",
		"\t_ = 1 // " + long,
		"",
		"\t// Output:",
		"\t// " + long + long,
		"}",
	}, "\n"))
	if want := []int{2, 6, 8, 10}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("wide comments in lines %v, %v; want %v", lines, err, want)
	}
	if lines, err := wideComments("a.go", "// Code generated by hand. DO NOT EDIT.\n\npackage a\n// "+long+long); err != nil || lines != nil {
		t.Errorf("wide comments in lines %v, %v of a generated file", lines, err)
	}
	silent, all, err := silentConsumers("a.go", `package a
func loud() { kgo.NewClient(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NoResetOffset())) }
func silent() { cl.AddConsumePartitions(from) }
func producer() { kgo.NewClient() }
`)
	if err != nil || all != 2 || !slices.Equal(silent, []string{"silent"}) {
		t.Errorf("%d consume, %q silently, %v; want 2, and silent", all, silent, err)
	}
	got := fileMap("// Package a.\n//\n//\tpoll  some  b.go\n//\n// # Files\n//\n//\tb.go, c.go  two\n//\t            stories  d.go\n//\te.sh f/  more\n//\tg.go\npackage a\n//\tx  y\n")
	if want := []string{"b.go", "c.go", "e.sh", "f/", "g.go"}; !slices.Equal(got, want) {
		t.Errorf("a map names %q, want %q", got, want)
	}
}
