package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A room is a package: its files, without tests, and the arrows between them.
type room struct {
	name   string // its path in the module
	dir    string
	files  []string // sorted
	lines  int
	arrows map[arrow]map[string]bool // what each uses
	out    int                       // arrows to files of other rooms that were asked for
}

// An arrow runs from a file to the one that declares what it uses.
type arrow struct{ from, to string }

// listed is a package as `go list` tells it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
	Module                  *struct {
		Path string
		Main bool
	}
}

// load lists packages and checks the types of the module's own from their source, each after those that it
// imports; of others it reads what the compiler exports.
func load(patterns []string) ([]*room, error) {
	args := append([]string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,DepOnly,Module", "--"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	l := &loader{fset: token.NewFileSet(), own: map[string]*types.Package{}, rooms: map[string]*room{}}
	exports := map[string]string{}
	l.others = importer.ForCompiler(l.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var asked []*room
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return asked, nil
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.Module == nil || !p.Module.Main {
			continue
		}
		if !p.DepOnly {
			r := &room{name: strings.TrimPrefix(p.ImportPath, p.Module.Path+"/"), dir: p.Dir, files: p.GoFiles, arrows: map[arrow]map[string]bool{}}
			slices.Sort(r.files)
			asked = append(asked, r)
			l.rooms[p.Dir] = r
		}
		if err := l.check(p); err != nil {
			return nil, err
		}
	}
}

// A loader has what was checked so far.
type loader struct {
	fset   *token.FileSet
	own    map[string]*types.Package
	others types.Importer
	rooms  map[string]*room // by folder
}

// Import gives a package that was checked, or what the compiler exports of it.
func (l *loader) Import(path string) (*types.Package, error) {
	if p := l.own[path]; p != nil {
		return p, nil
	}
	return l.others.Import(path)
}

// check checks one package and, if it is a room, notes the arrows of its files.
func (l *loader) check(p listed) error {
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checked, err := (&types.Config{Importer: l}).Check(p.ImportPath, l.fset, files, info)
	if err != nil {
		return err
	}
	l.own[p.ImportPath] = checked
	r := l.rooms[p.Dir]
	if r == nil {
		return nil
	}
	for _, f := range files {
		r.lines += l.fset.File(f.Pos()).LineCount()
	}
	outside := map[arrow]bool{}
	for id, used := range info.Uses {
		from, to := l.fset.Position(id.Pos()).Filename, l.fset.Position(used.Pos()).Filename
		if from == to || l.rooms[filepath.Dir(to)] == nil || !shared(used) {
			continue
		}
		if filepath.Dir(to) != p.Dir {
			outside[arrow{from, to}] = true
			continue
		}
		a := arrow{filepath.Base(from), filepath.Base(to)}
		if r.arrows[a] == nil {
			r.arrows[a] = map[string]bool{}
		}
		r.arrows[a][used.Name()] = true
	}
	r.out = len(outside)
	return nil
}

// shared reports whether another file can name an object: it is declared at the
// top of a package, or is a field or a method.
func shared(o types.Object) bool {
	switch o := o.(type) {
	case *types.PkgName:
		return false
	case *types.Var:
		if o.IsField() {
			return true
		}
	case *types.Func:
		return true
	}
	return o.Pkg() != nil && o.Parent() == o.Pkg().Scope()
}
