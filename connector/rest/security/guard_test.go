package security

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/reload"
)

const (
	opsPassword    = "s3cret-ops"
	viewerPassword = "s3cret:viewer" // a colon is a password's own business
)

// accountsText is an accounts file with a user of each role and kind of hash, and tokens.
func accountsText(t *testing.T) (text, adminToken, readToken string) {
	t.Helper()
	weak, err := bcrypt.GenerateFromPassword([]byte(viewerPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	adminToken, adminHash := NewToken()
	readToken, readHash := NewToken()
	return fmt.Sprintf("users:\n  ops: {password: %q, role: admin}\n  viewer: {password: %q, role: read-only}\n"+
		"tokens:\n  terraform: {sha256: %s, role: admin}\n  grafana: {sha256: %s, role: read-only}\n"+
		"certificates:\n  worker-1: {role: admin}\n  viewer-1: {role: read-only}\n",
		HashPassword(opsPassword), weak, adminHash, readHash), adminToken, readToken
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// api answers with who asked and what was sent.
func api() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c := CallerOf(r.Context())
		fmt.Fprintf(rw, "%s %s %d", c.Role, c.Name, len(body))
	})
}

// guarded is the API behind a guard; what it logs is in log.
func guarded(t *testing.T, settings config.Worker, local bool, next http.Handler) (h http.Handler, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	g, err := New(&settings, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	return g.Handler(next, local), log
}

// send sends a request with headers, given as name, value.
func send(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8083"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func basic(user, password string) string {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestWhoMayDoWhat(t *testing.T) {
	text, admin, read := accountsText(t)
	h, log := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text), OpenPaths: []string{"/metrics"}}, true, api())
	for _, c := range []struct {
		name, method, path, authorization string
		status                            int
		body                              string
	}{
		{"nobody", "GET", "/connectors", "", 401, `{"error_code":401,"message":"HTTP 401 Unauthorized: give a user and password, or a token, of the worker's rest.auth.file"}`},
		{"nobody asks whether the worker lives", "GET", "/livez", "", 200, "read-only  0"},
		{"nobody asks whether the worker is ready, with a slash", "HEAD", "/readyz/", "", 200, ""},
		{"nobody reads an open path", "GET", "/metrics", "", 200, "read-only  0"},
		{"nobody changes an open path", "POST", "/metrics", "", 401, ""},
		{"nobody reads what is not open", "GET", "/health", "", 401, ""},
		{"nobody reads behind an open path", "GET", "/metrics/../connectors", "", 401, ""},
		{"an administrator", "GET", "/connectors", basic("ops", opsPassword), 200, "admin ops 0"},
		{"an administrator changes", "PUT", "/connectors/a/pause", basic("ops", opsPassword), 200, "admin ops 0"},
		{"a reader, hashed with bcrypt", "GET", "/connectors", basic("viewer", viewerPassword), 200, "read-only viewer 0"},
		{"a reader changes", "DELETE", "/connectors/a", basic("viewer", viewerPassword), 403, `{"error_code":403,"message":"HTTP 403 Forbidden: the role read-only changes nothing; use an account with the role admin"}`},
		{"a reader asks for options", "OPTIONS", "/connectors", basic("viewer", viewerPassword), 200, "read-only viewer 0"},
		{"a reader with a method of his own", "BREW", "/connectors", basic("viewer", viewerPassword), 403, ""},
		{"a wrong password", "GET", "/connectors", basic("ops", "s3cret-op"), 401, `{"error_code":401,"message":"HTTP 401 Unauthorized: the user, password or token is not one of the worker's rest.auth.file"}`},
		{"an empty password", "GET", "/connectors", basic("ops", ""), 401, ""},
		{"another's password", "GET", "/connectors", basic("ops", viewerPassword), 401, ""},
		{"an unknown user", "GET", "/connectors", basic("s3cret-typed-as-user", opsPassword), 401, ""},
		{"an administrator's token", "POST", "/connectors", "Bearer " + admin, 200, "admin terraform 0"},
		{"a token, with the scheme in small letters", "GET", "/connectors", "bearer " + read, 200, "read-only grafana 0"},
		{"a reader's token changes", "POST", "/connectors", "Bearer " + read, 403, ""},
		{"a token that is not one", "GET", "/connectors", "Bearer s3cret", 401, ""},
		{"a token's hash", "GET", "/connectors", "Bearer " + strings.Fields(text[strings.Index(text, "sha256: ")+8:])[0], 401, ""},
		{"no scheme at all", "GET", "/connectors", "s3cret", 401, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.authorization != "" {
				headers = []string{"Authorization", c.authorization}
			}
			rec := send(h, c.method, c.path, "", headers...)
			if got := strings.TrimSpace(rec.Body.String()); rec.Code != c.status || c.body != "" && got != c.body {
				t.Errorf("got %d %s", rec.Code, got)
			}
			challenges := fmt.Sprint(rec.Header()["Www-Authenticate"])
			if (c.status == 401) != (challenges == `[Basic realm="coupastream", charset="UTF-8" Bearer realm="coupastream"]`) {
				t.Errorf("challenges %s", challenges)
			}
		})
	}
	if strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), admin) {
		t.Errorf("the log has what was typed:\n%s", log)
	}
}

func TestWithoutAccountsEverybodyMayDoEverything(t *testing.T) {
	h, _ := guarded(t, config.Worker{}, true, api())
	if rec := send(h, "DELETE", "/connectors/a", ""); rec.Code != 200 || rec.Body.String() != "admin  0" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestAttemptsThatFailAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text, token, _ := accountsText(t)
		h, log := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text)}, true, api())
		good, bad := []string{"Authorization", basic("ops", opsPassword)}, []string{"Authorization", basic("viewer", "guess")}
		for range 2 * failuresAtOnce { // what succeeds does not count
			if rec := send(h, "GET", "/connectors", "", good...); rec.Code != 200 {
				t.Fatal(rec.Code)
			}
		}
		for range failuresAtOnce {
			if rec := send(h, "GET", "/connectors", "", bad...); rec.Code != 401 {
				t.Fatal(rec.Code)
			}
		}
		for _, attempt := range [][]string{bad, {"Authorization", "Bearer guess"}, {"Authorization", basic("viewer", viewerPassword)}} {
			if rec := send(h, "GET", "/connectors", "", attempt...); rec.Code != 429 || rec.Header().Get("Retry-After") != "6" {
				t.Fatal(rec.Code, rec.Header())
			}
		}
		for _, known := range [][]string{good, {"Authorization", "Bearer " + token}} {
			if rec := send(h, "GET", "/connectors", "", known...); rec.Code != 200 {
				t.Errorf("an account that has logged in before is locked out: %d", rec.Code)
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log)
		}
		time.Sleep(failureRecovers)
		if rec := send(h, "GET", "/connectors", "", "Authorization", basic("viewer", viewerPassword)); rec.Code != 200 {
			t.Errorf("after the wait: %d", rec.Code)
		}
	})
}

func TestEachAddressHasFailuresOfItsOwn(t *testing.T) {
	f := newFailures()
	for range failuresAtOnce {
		f.attempt("[2001:db8::1]:4711")
	}
	for remote, blocked := range map[string]bool{"[2001:db8::1]:9": true, "[2001:db8::2:1]:9": true, "[2001:db8:0:1::1]:9": false, "192.0.2.1:9": false} {
		if wait, _ := f.attempt(remote); (wait > 0) != blocked {
			t.Errorf("%s waits %v", remote, wait)
		}
	}
	for i := range 3 * mostAddresses {
		f.attempt(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(f.buckets) > mostAddresses {
		t.Errorf("%d addresses are remembered", len(f.buckets))
	}
}

func TestAChangedAccountsFileCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text, token, _ := accountsText(t)
		path := write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text)
		h, log := guarded(t, config.Worker{AuthFile: path}, true, api())
		status := func(authorization string) int {
			return send(h, "GET", "/connectors", "", "Authorization", authorization).Code
		}
		if got := status(basic("ops", opsPassword)); got != 200 {
			t.Fatal(got)
		}
		write(t, path, "users: {ops: {password: s3cret, role: admin}}\n")
		time.Sleep(reload.Interval)
		if got := status(basic("ops", opsPassword)); got != 200 || !strings.Contains(log.String(), "what they held before stays in force") {
			t.Errorf("a file that can't be used: %d\n%s", got, log)
		}
		write(t, path, fmt.Sprintf("users: {ops: {password: %q, role: read-only}}\n", HashPassword("other")))
		time.Sleep(reload.Interval)
		if got := []int{status(basic("ops", opsPassword)), status("Bearer " + token), status(basic("ops", "other"))}; fmt.Sprint(got) != "[401 401 200]" {
			t.Errorf("the former password, the token taken out, the present password: %v", got)
		}
		if strings.Contains(log.String(), "s3cret") {
			t.Errorf("%s", log)
		}
	})
}

func TestAccountsFilesThatCantBeUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	hash := HashPassword("x")
	for _, c := range []struct{ name, text, want string }{
		{"a plain password", "users: {ops: {password: s3cret, role: admin}}", `rest.auth.file = "accounts.yaml": users.ops: password is not a bcrypt or argon2id hash; see coupastream hash-password --help for the form of the file`},
		{"a password in the place of the entry", "users:\n  ops: s3cret", `rest.auth.file = "accounts.yaml": is not an accounts file (line 2); see`},
		{"no role", "users: {ops: {password: '" + hash + "'}}", "users.ops: role is none of read-only, admin and hook; give one of these"},
		{"a role that there is not", "certificates: {w: {role: root}}", "certificates.w: role is none of"},
		{"a plain token", "tokens: {ci: {sha256: s3cret, role: admin}}", "tokens.ci: sha256 is not a SHA-256 in hexadecimal"},
		{"an unknown key", "users: {ops: {passwort: s3cret, role: admin}}", "is not an accounts file (line 1)"},
		{"a user twice", "users:\n  ops: {password: s3cret, role: admin}\n  ops: {password: s3cret, role: admin}\n", "is not an accounts file (line"},
		{"a hash that costs all memory", "users: {ops: {password: '" + strings.Replace(hash, "m=19456", "m=99999999", 1) + "', role: admin}}", "password costs m=99999999,t=2; m=262144,t=16 is the most"},
		{"a hash without cost", "users: {ops: {password: '" + strings.Replace(hash, "t=2", "t=0", 1) + "', role: admin}}", "is not a bcrypt or argon2id hash"},
		{"nobody", "users: {}", "has no account"},
		{"nothing", "", "is not an accounts file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, "accounts.yaml", c.text)
			err := Check(&config.Worker{AuthFile: "accounts.yaml"})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v", err)
			}
			if _, err := New(&config.Worker{AuthFile: "accounts.yaml"}, slog.New(slog.DiscardHandler)); err == nil {
				t.Error("a worker would start with it")
			}
		})
	}
	if err := Check(&config.Worker{File: "worker.yaml", AuthFile: "nowhere.yaml"}); err == nil ||
		err.Error() != `worker.yaml: rest.auth.file = "nowhere.yaml": cannot be read: no such file or directory; give a file that the user who runs coupastream may read` {
		t.Errorf("%v", err)
	}
}

func TestPagesOfOtherOriginsReadAtMost(t *testing.T) {
	const own, console, evil = "http://127.0.0.1:8083", "https://console.example.com", "https://evil.example"
	none, _ := guarded(t, config.Worker{}, true, api())
	named, _ := guarded(t, config.Worker{AllowOrigins: []string{console}, AllowMethods: []string{"GET", "PUT"}}, true, api())
	all, _ := guarded(t, config.Worker{AllowOrigins: []string{"*"}}, true, api())
	for _, c := range []struct {
		name    string
		h       http.Handler
		method  string
		headers []string
		status  int
		allowed string // Access-Control-Allow-Origin
	}{
		{"no browser", none, "POST", nil, 200, ""},
		{"the worker's own page", none, "POST", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200, ""},
		{"the worker's own page in a browser of old", none, "PUT", []string{"Origin", own}, 200, ""},
		{"a page elsewhere changes", none, "POST", []string{"Origin", evil, "Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"a page elsewhere, in a browser of old", none, "DELETE", []string{"Origin", evil}, 403, ""},
		{"a page of the same site on another port", none, "POST", []string{"Origin", "http://127.0.0.1:9", "Sec-Fetch-Site", "same-site"}, 403, ""},
		{"a page without an origin", none, "POST", []string{"Origin", "null"}, 403, ""},
		{"a page elsewhere reads, and its browser does not show it", none, "GET", []string{"Origin", evil, "Sec-Fetch-Site", "cross-site"}, 200, ""},
		{"a page that is named reads", named, "GET", []string{"Origin", console, "Sec-Fetch-Site", "cross-site"}, 200, console},
		{"a page that is named changes", named, "PUT", []string{"Origin", console, "Sec-Fetch-Site", "cross-site"}, 200, console},
		{"a page that is named, with a method that is not", named, "DELETE", []string{"Origin", console, "Sec-Fetch-Site", "cross-site"}, 403, console},
		{"a page that is not named", named, "PUT", []string{"Origin", evil, "Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"any page reads", all, "GET", []string{"Origin", evil, "Sec-Fetch-Site", "cross-site"}, 200, evil},
		{"any page changes", all, "POST", []string{"Origin", evil, "Sec-Fetch-Site", "cross-site"}, 403, evil},
		{"a preflight", named, "OPTIONS", []string{"Origin", console, "Access-Control-Request-Method", "PUT"}, 200, console},
		{"a preflight of a page that is not named", named, "OPTIONS", []string{"Origin", evil, "Access-Control-Request-Method", "PUT"}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := send(c.h, c.method, "/connectors", "", c.headers...)
			if rec.Code != c.status || rec.Header().Get("Access-Control-Allow-Origin") != c.allowed || rec.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("got %d, %v", rec.Code, rec.Header())
			}
		})
	}
	rec := send(named, "OPTIONS", "/connectors", "", "Origin", console, "Access-Control-Request-Method", "PUT")
	if got := rec.Header().Get("Access-Control-Allow-Methods"); got != "GET, PUT" || rec.Body.Len() != 0 {
		t.Errorf("preflight: %s, %s", got, rec.Body)
	}
}

func TestAPreflightNeedsNoAccount(t *testing.T) {
	text, _, _ := accountsText(t)
	h, _ := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "a.yaml"), text), AllowOrigins: []string{"https://c.example"}}, false, api())
	if rec := send(h, "OPTIONS", "/connectors", "", "Origin", "https://c.example", "Access-Control-Request-Method", "GET"); rec.Code != 200 {
		t.Error(rec.Code)
	}
	if rec := send(h, "GET", "/connectors", "", "Origin", "https://c.example"); rec.Code != 401 {
		t.Error(rec.Code)
	}
}

func TestALoopbackListenerHasTheNamesOfThisMachine(t *testing.T) {
	settings := config.Worker{AllowedHosts: []string{"Coupastream.example.com"}, AdvertisedHost: "worker-1.example.com"}
	local, _ := guarded(t, settings, true, api())
	far, _ := guarded(t, settings, false, api())
	for host, status := range map[string]int{
		"127.0.0.1:8083": 200, "localhost": 200, "LOCALHOST.:8083": 200, "x.localhost:1": 200, "[::1]:8083": 200, "[::1]": 200, "127.1.2.3": 200, "coupastream.example.com": 200, "worker-1.example.com:8083": 200, "": 200,
		"evil.example:8083": 403, "evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.1:8083": 403, "localhost.evil.example": 403, "0.0.0.0": 403,
	} {
		if rec := send(local, "GET", "/livez", "", "Host", host); rec.Code != status {
			t.Errorf("%q: %d", host, rec.Code)
		}
		if rec := send(far, "GET", "/livez", "", "Host", host); rec.Code != 200 {
			t.Errorf("%q, by a listener that is not on loopback: %d", host, rec.Code)
		}
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	h, _ := guarded(t, config.Worker{}, true, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(fmt.Errorf("row of s3cret")) }))
	for _, rec := range []*httptest.ResponseRecorder{send(h, "GET", "/", ""), send(h, "GET", "/", "", "Host", "evil.example"), send(h, "POST", "/", "", "Origin", "https://evil.example")} {
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'self'; base-uri", "Cache-Control": "no-store", "Content-Type": "application/json"} {
			if got := rec.Header().Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%d: %s is %q", rec.Code, name, got)
			}
		}
	}
}

func TestAPanicShowsWhereAndNotWhat(t *testing.T) {
	h, log := guarded(t, config.Worker{}, true, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(fmt.Errorf("row of s3cret")) }))
	rec := send(h, "GET", "/connectors", "")
	if rec.Code != 500 || strings.Contains(rec.Body.String()+log.String(), "s3cret") || !strings.Contains(log.String(), "TestAPanicShowsWhereAndNotWhat") {
		t.Errorf("%d %s\n%s", rec.Code, rec.Body, log)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	h, _ := guarded(t, config.Worker{}, true, api())
	for size, status := range map[int]int{0: 200, 1 << 20: 200, 1<<20 + 1: 413} {
		rec := send(h, "POST", "/connectors", strings.Repeat("x", size))
		if rec.Code != status || status == 200 && rec.Body.String() != fmt.Sprintf("admin  %d", size) {
			t.Errorf("%d bytes: %d %s", size, rec.Code, rec.Body)
		}
		if status == 413 && rec.Body.String() != `{"error_code":413,"message":"HTTP 413 Request Entity Too Large: the body has more than 1048576 bytes"}`+"\n" {
			t.Errorf("%s", rec.Body)
		}
	}
}

// Who sends a body slowly, or never, takes no place for as long
// as he does so, unless an account says that he may send one.
func TestBodiesThatDoNotComeAreInNobodysWay(t *testing.T) {
	text, token, _ := accountsText(t)
	settings := config.Worker{Listeners: []string{"http://127.0.0.1:0"}, AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text), OpenPaths: []string{"/metrics"}}
	address := strings.TrimPrefix(serve(t, settings), "http://")
	for request, want := range map[string]string{
		"GET /metrics": "HTTP/1.1 200 ", "GET /livez": "HTTP/1.1 200 ", "HEAD /readyz": "HTTP/1.1 200 ",
		"POST /connectors": "HTTP/1.1 401 ", "HEAD /ui/events": "HTTP/1.1 401 ", "DELETE /livez": "HTTP/1.1 401 ", "OPTIONS /connectors": "HTTP/1.1 401 ",
	} {
		var open []net.Conn
		for range mostRequests + 1 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx", request)
			answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(request)[0]})
			if err != nil {
				t.Fatalf("%s: %v", request, err)
			}
			if got := "HTTP/1.1 " + answer.Status; !strings.HasPrefix(got, want) || !answer.Close {
				t.Fatalf("%s: %s, closes %v", request, got, answer.Close)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/connectors", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(got) != "admin terraform 4" {
			t.Errorf("beside %s: %s %s", request, res.Status, got)
		}
		for _, conn := range open {
			_ = conn.Close()
		}
	}
}

func TestWhoNeedsNoAccountIsNotInTheWayOfOthers(t *testing.T) {
	text, token, _ := accountsText(t)
	release, running := make(chan struct{}), make(chan struct{})
	settings := config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text), OpenPaths: []string{"/metrics"}}
	h, _ := guarded(t, settings, true, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			running <- struct{}{}
			<-release
		}
	}))
	done := make(chan int, mostOpen)
	for range mostOpen {
		go func() { done <- send(h, "GET", "/metrics", "").Code }()
		<-running
	}
	if rec := send(h, "GET", "/metrics", ""); rec.Code != 503 {
		t.Errorf("one more: %d", rec.Code)
	}
	if rec := send(h, "GET", "/connectors", "", "Authorization", "Bearer "+token); rec.Code != 200 {
		t.Errorf("with an account: %d", rec.Code)
	}
	close(release)
	for range mostOpen {
		if code := <-done; code != 200 {
			t.Errorf("%d", code)
		}
	}
}

func TestRequestsAtOneTimeAreBounded(t *testing.T) {
	release, running := make(chan struct{}), make(chan struct{})
	h, _ := guarded(t, config.Worker{}, true, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" || r.URL.Path == streamPath {
			running <- struct{}{}
			<-release
		}
	}))
	done := make(chan int, mostRequests+mostStreams)
	for range mostRequests {
		go func() { done <- send(h, "GET", "/slow", "").Code }()
		<-running
	}
	if rec := send(h, "GET", "/connectors", ""); rec.Code != 503 || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("one more: %d", rec.Code)
	}
	if rec := send(h, "GET", "/livez", ""); rec.Code != 200 {
		t.Errorf("/livez: %d", rec.Code)
	}
	for range mostStreams { // pages that listen take places of their own
		go func() { done <- send(h, "GET", streamPath, "").Code }()
		<-running
	}
	if rec := send(h, "GET", streamPath, ""); rec.Code != 503 {
		t.Errorf("one more page: %d", rec.Code)
	}
	close(release)
	for range mostRequests + mostStreams {
		if code := <-done; code != 200 {
			t.Errorf("%d", code)
		}
	}
	if rec := send(h, "GET", "/connectors", ""); rec.Code != 200 {
		t.Errorf("afterwards: %d", rec.Code)
	}
}
