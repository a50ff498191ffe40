package security

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/coupastream/coupastream/connector/config"
)

const hookPassword = "s3cret_/+%hook?>" // in the alphabet for URLs it has letters of its own

// hookAccounts is an accounts file with users of two roles, in which only bcrypt stands, and a token of the
// role hook.
func hookAccounts(t *testing.T) (text, token string) {
	t.Helper()
	hash := func(password string) string {
		weak, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(weak)
	}
	token, sum := NewToken()
	return fmt.Sprintf("users:\n  coupa: {password: %q, role: hook}\n  other: {password: %q, role: hook}\n  ops: {password: %q, role: admin}\n"+
		"tokens:\n  bell: {sha256: %s, role: hook}\n", hash(hookPassword), hash(hookPassword), hash(opsPassword), sum), token
}

// grantedBy asks for a token.
func grantedBy(t *testing.T, h http.Handler, kind, body string, headers ...string) (rec *httptest.ResponseRecorder, token string) {
	t.Helper()
	rec = send(h, "POST", tokenPath, body, append(headers, "Content-Type", kind)...)
	var got struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Lasts int    `json:"expires_in"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	if rec.Code == 200 && (got.Type != "Bearer" || got.Lasts != 3600 || rec.Header().Get("Cache-Control") != "no-store") {
		t.Errorf("%s %v", rec.Body, rec.Header())
	}
	return rec, got.Token
}

const formType = "application/x-www-form-urlencoded"

func TestTheRoleHookRingsAndDoesNothingElse(t *testing.T) {
	t.Parallel()
	text, token := hookAccounts(t)
	h, log := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text), Hooks: true}, true, api())
	_, granted := grantedBy(t, h, formType, "grant_type=client_credentials", "Authorization", basic("coupa", hookPassword))
	for _, authorization := range []string{
		basic("coupa", hookPassword), "Basic " + base64.URLEncoding.EncodeToString([]byte("coupa:"+hookPassword)), "Bearer " + token, "Bearer " + granted,
	} {
		for _, c := range []struct {
			method, path string
			status       int
		}{
			{"POST", "/hooks/acme/invoices", 200},
			{"POST", "/hooks/acme/a%2Fb/", 200},
			{"GET", "/hooks/acme/invoices", 403},
			{"PUT", "/hooks/acme/invoices", 403},
			{"GET", "/hooks/token", 403},
			{"GET", "/connectors", 403},
			{"POST", "/connectors", 403},
			{"OPTIONS", "/connectors", 403},
			{"POST", "/hooks", 403},
			{"POST", "/HOOKS/acme/invoices", 403},
			{"POST", "/connectors/acme/restart", 403},
			{"GET", "/ui/", 403},
			{"GET", "/metrics", 403},
		} {
			rec := send(h, c.method, c.path, `{"a":1}`, "Authorization", authorization)
			if rec.Code != c.status {
				t.Errorf("%s %s: %d %s", c.method, c.path, rec.Code, rec.Body)
			}
			if c.status == 200 && !strings.HasPrefix(rec.Body.String(), "hook ") || c.status == 200 && !strings.HasSuffix(rec.Body.String(), " 0") {
				t.Errorf("%s %s: %s", c.method, c.path, rec.Body) // what is sent gets no further
			}
		}
	}
	if rec := send(h, "POST", "/hooks/acme/invoices", ""); rec.Code != 401 {
		t.Errorf("nobody rings: %d", rec.Code)
	}
	if rec := send(h, "POST", "/hooks/acme/invoices", "", "Authorization", basic("ops", opsPassword)); rec.Code != 200 {
		t.Errorf("an administrator rings: %d", rec.Code)
	}
	if strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), granted) {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

func TestHowTokensAreGranted(t *testing.T) {
	t.Parallel()
	text, token := hookAccounts(t)
	h, _ := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text), Hooks: true}, true, api())
	good := basic("coupa", hookPassword)
	for _, c := range []struct {
		name, kind, body, authorization string
		status                          int
		code                            string
	}{
		{"as Coupa asks", formType, "grant_type=client_credentials&scope=a b", "Basic " + base64.URLEncoding.EncodeToString([]byte("coupa:"+hookPassword)), 200, ""},
		{"as Coupa asks in JSON", "application/json", `{"grant_type":"client_credentials","scope":"a"}`, good, 200, ""},
		{"in the form", formType, "grant_type=client_credentials&client_id=coupa&client_secret=s3cret_%2F%2B%25hook%3F%3E", "", 200, ""},
		{"with a charset", formType + "; charset=utf-8", "grant_type=client_credentials", good, 200, ""},
		{"a wrong secret", formType, "grant_type=client_credentials", basic("coupa", "guess"), 401, "invalid_client"},
		{"an unknown client", formType, "grant_type=client_credentials&client_id=nobody&client_secret=x", "", 401, "invalid_client"},
		{"no client", formType, "grant_type=client_credentials", "", 401, "invalid_client"},
		{"a token for a client", formType, "grant_type=client_credentials", "Bearer " + token, 401, "invalid_client"},
		{"another role", formType, "grant_type=client_credentials", basic("ops", opsPassword), 400, "unauthorized_client"},
		{"another grant", formType, "grant_type=password&username=a", good, 400, "unsupported_grant_type"},
		{"no grant", formType, "", good, 400, "invalid_request"},
		{"a body that is no form", formType, "grant_type=%zz", good, 400, "invalid_request"},
		{"a body that is no JSON", "application/json", "[]", good, 400, "invalid_request"},
		{"a body of another type", "text/xml", "<a/>", good, 400, "invalid_request"},
		{"a long body", formType, strings.Repeat("a", mostGrantBody+1), good, 400, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.authorization != "" {
				headers = []string{"Authorization", c.authorization}
			}
			rec, granted := grantedBy(t, h, c.kind, c.body, headers...)
			var said struct {
				Code string `json:"error"`
				Why  string `json:"error_description"`
			}
			_ = json.Unmarshal(rec.Body.Bytes(), &said)
			if rec.Code != c.status || said.Code != c.code || (granted != "") != (c.status == 200) || (said.Why == "") != (c.status == 200) {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if (rec.Header().Get("WWW-Authenticate") == basicChallenge) != (c.status == 401) {
				t.Errorf("challenge %q", rec.Header().Get("WWW-Authenticate"))
			}
		})
	}
}

// A token ends in time, with its account and with its password, and can't be made from another one.
func TestWhatATokenIsGoodFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		text, _ := hookAccounts(t)
		path := write(t, filepath.Join(dir, "accounts.yaml"), text)
		settings := config.Worker{AuthFile: path, Hooks: true}
		h, _ := guarded(t, settings, true, api())
		other, _ := guarded(t, settings, true, api())
		_, token := grantedBy(t, h, formType, "grant_type=client_credentials", "Authorization", basic("coupa", hookPassword))
		ring := func(h http.Handler, token string) int {
			return send(h, "POST", "/hooks/acme/invoices", "", "Authorization", "Bearer "+token).Code
		}
		if code := ring(other, token); code != 200 {
			t.Errorf("to another worker: %d", code)
		}
		claim, signature, _ := strings.Cut(strings.TrimPrefix(token, grantPrefix), ".")
		plain, err := grantText.DecodeString(claim)
		if err != nil {
			t.Fatal(err)
		}
		longer, renamed := bytes.Clone(plain), append(bytes.Clone(plain[:grantSecond]), "other"...)
		longer[grantSecond-1]++
		for name, forged := range map[string]string{
			"a longer one":            grantPrefix + grantText.EncodeToString(longer) + "." + signature,
			"another account's":       grantPrefix + grantText.EncodeToString(renamed) + "." + signature,
			"an administrator's":      grantPrefix + grantText.EncodeToString(append(bytes.Clone(plain[:grantSecond]), "ops"...)) + "." + signature,
			"nobody's":                grantPrefix + grantText.EncodeToString(append(bytes.Clone(plain[:grantSecond]), "nobody"...)) + "." + signature,
			"one without a signature": grantPrefix + claim, "a short one": grantPrefix + "AAAA.AAAA", "none": grantPrefix,
		} {
			if code := ring(h, forged); code != 401 {
				t.Errorf("%s: %d", name, code)
			}
		}
		time.Sleep(failuresAtOnce * failureRecovers)
		if code := ring(h, token); code != 200 {
			t.Errorf("a minute later: %d", code)
		}
		time.Sleep(grantLasts + grantSlack)
		for range 2 * failuresAtOnce { // it was right once, and nobody is locked out for it
			if code := ring(h, token); code != 401 {
				t.Fatalf("when it has expired: %d", code)
			}
		}
		_, token = grantedBy(t, h, formType, "grant_type=client_credentials", "Authorization", basic("coupa", hookPassword))
		text, _ = hookAccounts(t) // other hashes of the same passwords
		write(t, path, text)
		time.Sleep(2 * time.Second)
		if code := ring(h, token); code != 401 {
			t.Errorf("when its password was set anew: %d", code)
		}
	})
}

func TestWithoutHooksThereAreNoTokens(t *testing.T) {
	t.Parallel()
	text, _ := hookAccounts(t)
	h, _ := guarded(t, config.Worker{AuthFile: write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text)}, true, api())
	if rec := send(h, "POST", tokenPath, "grant_type=client_credentials", "Authorization", basic("coupa", hookPassword), "Content-Type", formType); rec.Code != 403 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// endless is a body that goes on as long as somebody reads it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// What is sent to a doorbell is read up to a bound and thrown away, and rings have places of their own.
func TestWhatADoorbellTakes(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	next := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n > 0 || err != nil {
			t.Errorf("%d bytes are passed on, %v", n, err)
		}
		if r.URL.Query().Has("hold") {
			held <- struct{}{}
			<-release
		}
	})
	h, _ := guarded(t, config.Worker{Hooks: true}, false, next)
	long := &endless{}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("POST", "/hooks/acme/invoices", long))
	if rec.Code != 200 || long.read > mostBody+64<<10 || rec.Header().Get("Connection") != "close" {
		t.Errorf("%d, %d bytes were read, %v", rec.Code, long.read, rec.Header())
	}
	ended := make(chan struct{})
	for range mostBells {
		go func() {
			send(h, "POST", "/hooks/acme/invoices?hold", "")
			ended <- struct{}{}
		}()
		<-held
	}
	if rec := send(h, "POST", "/hooks/acme/invoices", ""); rec.Code != 503 || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("one more: %d %s", rec.Code, rec.Body)
	}
	if rec := send(h, "GET", "/connectors", ""); rec.Code != 200 {
		t.Errorf("beside them: %d", rec.Code)
	}
	close(release)
	for range mostBells {
		<-ended
	}
}
