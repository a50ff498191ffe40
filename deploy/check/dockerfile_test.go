package check

import (
	"errors"
	"go/version"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile parses deploy/Dockerfile as BuildKit does.
func dockerfile() ([]instructions.Stage, []instructions.ArgCommand, error) {
	file, err := os.Open(root + "/deploy/Dockerfile")
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return nil, nil, err
	}
	return instructions.Parse(parsed.AST, nil)
}

// buildLine is the go build of the build stage, with the variables that are set before it.
func buildLine() (string, error) {
	stages, _, err := dockerfile()
	if err != nil {
		return "", err
	}
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			return strings.Join(run.CmdLine, " "), nil
		}
	}
	return "", errors.New("no RUN with go build in the first stage")
}

func TestDockerfileCrossCompilesOnTheBuildersArchitecture(t *testing.T) {
	stages, _, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	if build := stages[0]; build.Name != "build" || build.Platform != "$BUILDPLATFORM" {
		t.Errorf("the first stage is %s for %q; want build for $BUILDPLATFORM", build.Name, build.Platform)
	}
	line, err := buildLine()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GOOS=${TARGETOS}", "GOARCH=${TARGETARCH}", "-trimpath", "main.release=${VERSION}", "main.revision=${REVISION}"} {
		if !strings.Contains(line, want) {
			t.Errorf("the build lacks %s:\n%s", want, line)
		}
	}
}

func TestDockerfilesStagesThatShip(t *testing.T) {
	stages, _, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]instructions.Stage{}
	for _, s := range stages {
		for _, c := range s.Commands {
			if from, ok := c.(*instructions.CopyCommand); ok && from.From != "" {
				if _, there := named[from.From]; !there {
					t.Errorf("stage %q copies from %q, which is no stage before it", s.Name, from.From)
				}
			}
		}
		named[s.Name] = s
	}
	for _, s := range []instructions.Stage{named["release"], stages[len(stages)-1]} {
		if s.BaseName != "base" {
			t.Errorf("stage %q is from %q; want base", s.Name, s.BaseName)
		}
	}
	var user string
	var entry []string
	for _, c := range named["base"].Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
			if c.PrependShell {
				t.Error("ENTRYPOINT needs a shell, and there is none")
			}
		case *instructions.RunCommand:
			t.Error("RUN in the stage that ships: it has no shell")
		}
	}
	if user != "65532:65532" || !slices.Equal(entry, []string{"/usr/bin/coupastream"}) {
		t.Errorf("user %q, entry point %q", user, entry)
	}
}

func TestDockerfilesGoCanBuildTheModule(t *testing.T) {
	_, args, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for _, a := range args {
		for _, kv := range a.Args {
			images[kv.Key] = *kv.Value
		}
	}
	image := regexp.MustCompile(`^golang:(\d+\.\d+\.\d+)-`).FindStringSubmatch(images["GO_IMAGE"])
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	needs := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(mod))
	if image == nil || needs == nil || version.Compare("go"+image[1], "go"+needs[1]) < 0 {
		t.Errorf("GO_IMAGE %q can't build a module that needs Go %v", images["GO_IMAGE"], needs)
	}
	if !strings.Contains(images["BASE_IMAGE"], "distroless") || !strings.HasSuffix(images["BASE_IMAGE"], ":nonroot") {
		t.Errorf("BASE_IMAGE %q is not a distroless image without root", images["BASE_IMAGE"])
	}
}
