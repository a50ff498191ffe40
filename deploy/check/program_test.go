package check

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// root is the repository.
const root = "../.."

// The image's program, built by TestMain for all tests as the Dockerfile builds it.
var program string

const (
	builtVersion  = "v9.8.7-rc.1"
	builtRevision = "0123456789abcdef0123456789abcdef01234567"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // Helm tells of each link that it follows
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "deploy-check-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "coupastream")
		if err := buildAsImage(filepath.Join(dir, "src"), program); err != nil {
			_, _ = os.Stderr.WriteString("building as deploy/Dockerfile does: " + err.Error() + "\n")
			return 1
		}
		return m.Run()
	}())
}

// buildAsImage copies what the ignore file lets into the
// build to src, and runs the Dockerfile's build there.
func buildAsImage(src, out string) error {
	if err := copyContext(src); err != nil {
		return err
	}
	line, err := buildLine()
	if err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(line, "/out/coupastream", out))
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly", "GOWORK=off",
		"TARGETOS=", "TARGETARCH=", "TARGETVARIANT=", "VERSION="+builtVersion, "REVISION="+builtRevision)
	if text, err := cmd.CombinedOutput(); err != nil {
		return &exec.Error{Name: line + "\n" + string(text), Err: err}
	}
	return nil
}

// copyContext makes the build context: the repository
// without what deploy/Dockerfile.dockerignore leaves out.
func copyContext(to string) error {
	ignore, err := os.ReadFile(root + "/deploy/Dockerfile.dockerignore")
	if err != nil {
		return err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	list := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard")
	files, err := list.Output()
	if err != nil {
		return err
	}
	for file := range strings.Lines(string(files)) {
		file = strings.TrimSpace(file)
		if out, err := ignored.MatchesOrParentMatches(file); err != nil || out {
			if err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) {
			continue // removed, but not yet in a commit
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, file)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestImagesProgramKnowsItsVersion(t *testing.T) {
	out, err := exec.Command(program, "version").Output()
	if want := "coupastream " + builtVersion + " commit " + builtRevision + " go"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("version printed %q, %v; want %q…", out, err, want)
	}
}

func TestSameSourcesInAnotherFolderGiveTheSameProgram(t *testing.T) {
	dir := t.TempDir()
	again := filepath.Join(dir, "coupastream")
	if err := buildAsImage(filepath.Join(dir, "elsewhere", "src"), again); err != nil {
		t.Fatal(err)
	}
	sum := func(path string) [32]byte {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(dir)) {
			t.Errorf("%s holds the path it was built in", path)
		}
		return sha256.Sum256(content)
	}
	if sum(program) != sum(again) {
		t.Error("two builds of the same sources differ")
	}
}

// validate runs the program's validate on the files of dir.
func validate(t *testing.T, dir string, env []string, files ...string) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"validate"}, files...)...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), ": ok\n") != len(files) {
		t.Errorf("validate %v: %v\n%s", files, err, out)
	}
}

// certificate makes a certificate that is its own authority, and its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8)
}
