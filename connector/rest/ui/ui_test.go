package ui

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
)

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	if len(header) > 0 {
		r.Header.Set(header[0], header[1])
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

func TestThePageIsServedWithAStrictPolicy(t *testing.T) {
	h := New(two())
	defer h.Close()
	for _, path := range []string{"/ui/", "/ui/app.js", "/ui/session", "/ui/nothing"} {
		head := get(h, path).Header()
		if csp := head.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: header %v", path, head)
		}
	}
}

func TestFiles(t *testing.T) {
	h := New(two())
	defer h.Close()
	for path, kind := range map[string]string{
		"/ui/": "text/html; charset=utf-8", "/ui/style.css": "text/css; charset=utf-8", "/ui/app.js": "text/javascript; charset=utf-8", "/ui/icon.svg": "image/svg+xml",
	} {
		rw := get(h, path)
		if rw.Code != http.StatusOK || rw.Header().Get("Content-Type") != kind || rw.Body.Len() == 0 {
			t.Errorf("%s: %d %s, %d bytes", path, rw.Code, rw.Header().Get("Content-Type"), rw.Body.Len())
		}
		if again := get(h, path, "If-None-Match", rw.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s asked for again: %d", path, again.Code)
		}
	}
	for _, path := range []string{"/ui/nothing", "/ui/assets/app.js", "/ui/a/b", "/ui/..%2fui.go"} {
		if rw := get(h, path); rw.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, rw.Code)
		}
	}
	if rw := get(h, "/ui"); rw.Code != http.StatusFound || rw.Header().Get("Location") != "ui/" {
		t.Errorf("/ui: %d %v", rw.Code, rw.Header())
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, httptest.NewRequest("POST", "/ui/session", nil))
	if rw.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", rw.Code)
	}
}

var (
	elsewhere = regexp.MustCompile(`(?:https?:)?//[a-z]`)
	imported  = regexp.MustCompile(`(?m)^import .* from "\./([^"]+)"|(?:src|href)="([^"#.]+\.\w+)"`)
	inline    = regexp.MustCompile(`(?i)<script(?:\s+type="module")?>|\son\w+\s*=\s*"|<style|\sstyle\s*=|javascript:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
)

// Nothing is asked of another host, everything that a file
// asks for is there, and no markup is made of strings.
func TestAssetsStandAlone(t *testing.T) {
	assets := load()
	if len(assets) < 10 {
		t.Fatalf("%d assets", len(assets))
	}
	for name, a := range assets {
		if a.kind == "" {
			t.Errorf("%s has no media type", name)
		}
		// a name, which nobody fetches
		text := strings.ReplaceAll(string(a.content), "http://www.w3.org/2000/svg", "")
		for _, at := range elsewhere.FindAllString(text, -1) {
			t.Errorf("%s names another host: %s", name, at)
		}
		for _, at := range inline.FindAllString(text, -1) {
			t.Errorf("%s has %s, which the policy forbids", name, at)
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			if file := m[1] + m[2]; assets[file].content == nil {
				t.Errorf("%s asks for %s, which is not there", name, file)
			}
		}
	}
}

func TestTheSessionIsTold(t *testing.T) {
	h := New(two())
	defer h.Close()
	rw := get(h, "/ui/session")
	if rw.Body.String() != `{"role":"admin"}`+"\n" || rw.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("nobody is asked who he is: %s %v", rw.Body, rw.Header())
	}
	accounts := filepath.Join(t.TempDir(), "accounts.yaml")
	text := "users:\n  eve:\n    password: " + security.HashPassword("secret") + "\n    role: read-only\n"
	if err := os.WriteFile(accounts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := security.New(&config.Worker{AuthFile: accounts}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://localhost/ui/session", nil)
	r.SetBasicAuth("eve", "secret")
	rw = httptest.NewRecorder()
	guard.Handler(h, true).ServeHTTP(rw, r)
	if rw.Body.String() != `{"role":"read-only","user":"eve"}`+"\n" {
		t.Errorf("eve: %s", rw.Body)
	}
}
