package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// withInput runs the program with a text on stdin.
func withInput(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), env: environment, stdout: &stdout, stderr: &stderr}
	return result{a.execute(t.Context(), args), stdout.String(), stderr.String()}
}

func TestEntriesOfTheAccountsFileLetIn(t *testing.T) {
	user := withInput(t, "correct horse\n", "hash-password", "ops", "--role", "admin")
	token := withInput(t, "", "hash-password", "prom", "--token")
	if user.status != 0 || user.stderr != "" || token.status != 0 || strings.Contains(user.stdout, "horse") {
		t.Fatalf("%+v\n%+v", user, token)
	}
	secret := strings.Fields(token.stderr)[4]
	if strings.Contains(token.stdout, secret) {
		t.Error("the entry holds the token")
	}
	path := filepath.Join(t.TempDir(), "accounts.yaml")
	if err := os.WriteFile(path, []byte(user.stdout+token.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := security.New(&config.Worker{AuthFile: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var who security.Caller
	h := guard.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { who = security.CallerOf(r.Context()) }), true)
	r := httptest.NewRequest(http.MethodPut, "http://localhost/x", http.NoBody)
	r.SetBasicAuth("ops", "correct horse")
	if h.ServeHTTP(httptest.NewRecorder(), r); who != (security.Caller{Name: "ops", Role: security.Admin}) {
		t.Errorf("the user is %+v", who)
	}
	r = httptest.NewRequest(http.MethodGet, "http://localhost/x", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+secret)
	if h.ServeHTTP(httptest.NewRecorder(), r); who != (security.Caller{Name: "prom", Role: security.ReadOnly}) {
		t.Errorf("the token's owner is %+v", who)
	}
}

func TestEntriesThatAreNotMade(t *testing.T) {
	for _, c := range []struct{ stdin, args, want string }{
		{"short\n", "hash-password ops", "coupastream: the password has less than 8 characters; give a longer one\n"},
		{"long enough\n", "hash-password ops --role root", "coupastream: --role \"root\" is not a role; give read-only, admin or hook\n"},
		{"long enough\n", "hash-password a:b", "coupastream: \"a:b\" is not the name of an account; leave out colons, quotes and what can't be seen\n"},
	} {
		if got := withInput(t, c.stdin, strings.Fields(c.args)...); got != (result{2, "", c.want}) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}
