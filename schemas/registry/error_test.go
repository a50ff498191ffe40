package registry_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/registry"
)

func TestRegistryErrorsSayWhatToDo(t *testing.T) {
	const absent = `{"error_code":40401,"message":"Subject not found"}`
	for _, tt := range []struct {
		name      string
		answers   map[string]string // method and start of the path → status and body
		want      []string
		temporary bool
	}{
		{"no login", map[string]string{"POST": `401 {"error_code":401,"message":"Unauthorized"}`}, []string{"HTTP 401", "Unauthorized", "basic.auth.user.info"}, false},
		{"no right to read", map[string]string{"POST": "403 denied"}, []string{"HTTP 403", "denied", "auto.register.schemas=false"}, false},
		{"no right to register", map[string]string{"POST /subjects/s/versions": "403 denied", "POST": "404 " + absent, "GET": "200 {}"}, []string{"registering the schema", "HTTP 403"}, false},
		{"no right to set the level", map[string]string{"PUT": "403 denied", "GET": `404 {"error_code":40408}`, "POST": "404 " + absent}, []string{"BACKWARD", "set a level on the subject yourself"}, false},
		{"no right to read the level", map[string]string{"GET": "403 denied", "POST": "404 " + absent}, []string{"reading the subject's compatibility level", "HTTP 403"}, false},
		{"an invalid schema", map[string]string{"POST /subjects/s/versions": `422 {"error_code":42201,"message":"Invalid schema"}`, "POST": "404 " + absent, "GET": "200 {}"}, []string{"HTTP 422", "Invalid schema", "accepts Avro"}, false},
		{"overloaded", map[string]string{"POST": "429 slow down"}, []string{"HTTP 429", "tried again"}, true},
		{"broken", map[string]string{"POST": `500 {"error_code":50001,"message":"Error in the backend data store"}`}, []string{"HTTP 500", "backend data store"}, true},
		{"a page of something else", map[string]string{"POST": "200 <html>Sign in</html>"}, []string{"root of a registry"}, false},
		{"JSON of something else", map[string]string{"POST": `200 {"status":"up"}`}, []string{"holds no schema id", "root of a registry"}, false},
		{"nothing there", map[string]string{"": "404 <html>not here</html>"}, []string{"HTTP 404", "root of a registry"}, false},
		{"a long answer is cut", map[string]string{"POST": "409 " + strings.Repeat("é", 5000) + "END"}, []string{"éé…;"}, false},
		{"a long answer stays on one line", map[string]string{"POST": "409 a\n\n  b"}, []string{": a b;"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				best := ""
				for at := range tt.answers {
					if strings.HasPrefix(r.Method+" "+r.URL.Path, at) && len(at) >= len(best) {
						best = at
					}
				}
				status, body, _ := strings.Cut(tt.answers[best], " ")
				w.WriteHeader(int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0'))
				_, _ = w.Write([]byte(body))
			}))
			defer server.Close()
			withUser := strings.Replace(server.URL, "http://", "http://someone:hunter2@", 1)
			_, err := client(t, registry.Config{URLs: []string{withUser}}).Register(t.Context(), "s", first)
			var failed *registry.Error
			if !errors.As(err, &failed) {
				t.Fatalf("error %v", err)
			}
			for _, part := range append(tt.want, `subject "s"`) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if failed.Temporary() != tt.temporary {
				t.Errorf("temporary %v, want %v: %v", failed.Temporary(), tt.temporary, err)
			}
			if text := err.Error() + errors.Unwrap(err).Error(); strings.Contains(text, "hunter2") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1200 {
				t.Errorf("the error shows credentials, has several lines or %d bytes", len(err.Error()))
			}
		})
	}
}

func TestAnotherURLIsTriedWhenOneIsUnreachable(t *testing.T) {
	fake, _ := strictRegistry(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := client(t, registry.Config{URLs: []string{gone.URL, fake.URL()}}).Register(t.Context(), subject, first); err != nil {
		t.Error(err)
	}
	_, err := client(t, registry.Config{URLs: []string{strings.Replace(gone.URL, "http://", "http://user:hunter2@", 1)}}).Register(t.Context(), subject, first)
	var failed *registry.Error
	if !errors.As(err, &failed) || !failed.Temporary() || !strings.Contains(err.Error(), "schema.registry.url") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want a temporary one without credentials", err)
	}
}

func TestAuthoritiesOfTheRegistry(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"subject":"s","id":5,"version":1,"schema":"{}"}`))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusting := func(lost func()) (http.RoundTripper, error) {
		return registry.NewTransport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, lost), nil
	}
	if id, err := client(t, registry.Config{URLs: []string{server.URL}, Transport: trusting}).Lookup(t.Context(), subject, first); id != 5 || err != nil {
		t.Errorf("with its authority: id %d, %v", id, err)
	}
	if _, err := client(t, registry.Config{URLs: []string{server.URL}}).Lookup(t.Context(), subject, first); err == nil || !strings.Contains(err.Error(), "ssl.ca.location") {
		t.Errorf("without: %v", err)
	}
}

func TestRegistrySettingsThatAreWrong(t *testing.T) {
	usual := func(func()) (http.RoundTripper, error) { return http.DefaultTransport, nil }
	for _, tt := range []struct {
		name string
		cfg  registry.Config
		want []string
	}{
		{"no URL", registry.Config{}, []string{"schema.registry.url is missing"}},
		{"a host alone", registry.Config{URLs: []string{"registry:8081"}}, []string{"address 1 is not a http or https URL"}},
		{"a password that breaks the URL", registry.Config{URLs: []string{"http://ok", "http://user:hunter2%@host"}}, []string{"address 2 is not a URL", "percent-encode"}},
		{"a transport beside a client", registry.Config{URLs: []string{"http://ok"}, Transport: usual, HTTPClient: http.DefaultClient}, []string{"ssl.ca.location"}},
		{"all problems at once", registry.Config{URLs: []string{"ftp://x"}, Transport: usual, HTTPClient: http.DefaultClient}, []string{"address 1", "ssl.ca.location"}},
	} {
		_, err := registry.New(tt.cfg)
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, part)
			}
		}
	}
}
