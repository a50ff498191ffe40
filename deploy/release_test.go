package deploy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// releaseConfig is what releases depend on in .goreleaser.yaml.
type releaseConfig struct {
	Builds []struct {
		Main         string
		Env          []string
		Goos         []string
		Goarch       []string
		Flags        []string
		Ldflags      []string
		ModTimestamp string `yaml:"mod_timestamp"`
	}
	Archives []struct {
		Files []struct {
			Src  string
			Info struct{ Mtime string }
		}
	}
	Sboms     []struct{ Artifacts, Cmd string }
	Checksum  struct{ Algorithm string }
	DockersV2 []struct {
		Dockerfile       string
		Platforms, Flags []string
	} `yaml:"dockers_v2"`
}

func TestReleasesAreForAllSystemsAndReproducible(t *testing.T) {
	var c releaseConfig
	if err := yaml.Unmarshal([]byte(read(t, "../.goreleaser.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	b := c.Builds[0]
	if !slices.Equal(b.Goos, []string{"linux", "darwin", "windows"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("builds for %v × %v", b.Goos, b.Goarch)
	}
	if !slices.Contains(b.Flags, "-trimpath") || !slices.Contains(b.Env, "CGO_ENABLED=0") || b.ModTimestamp != "{{ .CommitTimestamp }}" {
		t.Errorf("a build that is not reproducible: %+v", b)
	}
	if _, err := os.Stat("../" + b.Main); err != nil {
		t.Error(err)
	}
	wire := read(t, "../cmd/coupastream/wire.go")
	if !strings.Contains(wire, "var release, revision string") || !strings.Contains(b.Ldflags[0], "-X main.release=v") || !strings.Contains(b.Ldflags[0], "-X main.revision=") {
		t.Errorf("the linker is not told the version that the program prints: %s", b.Ldflags)
	}
	for _, f := range c.Archives[0].Files {
		if found := len(glob(t, "../"+strings.ReplaceAll(f.Src, "**/", ""))); found == 0 || f.Info.Mtime == "" {
			t.Errorf("archive: %s: %d files, mtime %q", f.Src, found, f.Info.Mtime)
		}
	}
	if c.Sboms[0].Artifacts != "binary" || c.Checksum.Algorithm != "sha256" {
		t.Errorf("no list of parts for each binary, or no checksums: %+v %+v", c.Sboms, c.Checksum)
	}
	d := c.DockersV2[0]
	if _, err := os.Stat("../" + d.Dockerfile); err != nil || !slices.Equal(d.Platforms, []string{"linux/amd64", "linux/arm64"}) || !slices.Contains(d.Flags, "--target=release") {
		t.Errorf("images: %+v, %v", d, err)
	}
}
