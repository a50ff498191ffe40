package coupatest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokens are the access tokens that were given out.
type tokens struct {
	mu    sync.Mutex
	count int
	live  map[string]token
	// granted are the scopes of the client since Grant; nil: those of Config.
	granted []string
	// secret is the client's since Rotate; "": that of Config.
	secret string
}

type token struct {
	made   time.Time
	scopes []string
}

// answerToken is POST /oauth2/token.
func (t *Tenant) answerToken(a *answer, r *http.Request) {
	a.contentType = jsonType
	if r.Method != http.MethodPost {
		a.status, a.body = http.StatusNotFound, []byte(`{"error":"not_found"}`)
		return
	}
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		a.status, a.body = http.StatusBadRequest, []byte(`{"error":"unsupported_grant_type"}`)
		return
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if t.cfg.ClientID+t.cfg.ClientSecret != "" && (id != t.cfg.ClientID || secret != t.secret()) {
		a.status, a.body = http.StatusUnauthorized, []byte(`{"error":"invalid_client"}`)
		return
	}
	granted := t.granted()
	scopes := strings.Fields(r.PostForm.Get("scope"))
	for _, scope := range scopes {
		if !slices.Contains(granted, scope) {
			a.status, a.body = http.StatusBadRequest, []byte(`{"error":"invalid_scope"}`)
			return
		}
	}
	if len(scopes) == 0 {
		scopes = granted
	}
	a.status = http.StatusOK
	a.body = fmt.Appendf(nil, `{"access_token":%q,"token_type":"bearer","expires_in":%d,"scope":%q}`,
		t.mint(scopes), int(t.cfg.TokenTTL.Seconds())-1, strings.Join(scopes, " "))
}

// mint makes a token that looks like a JSON Web Token and grows with its scopes.
func (t *Tenant) mint(scopes []string) string {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	t.tokens.count++
	now := time.Now()
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	text := strings.Join([]string{
		encode(`{"typ":"JWT","alg":"none"}`),
		encode(fmt.Sprintf(`{"jti":%d,"iat":%d,"scope":%q}`, t.tokens.count, now.Unix(), strings.Join(scopes, " "))),
		encode(string(appendUUID(nil, mix(t.cfg.Seed, uint64(t.tokens.count))))),
	}, ".")
	if t.tokens.live == nil {
		t.tokens.live = map[string]token{}
	}
	for old, tk := range t.tokens.live {
		if now.Sub(tk.made) > t.cfg.TokenTTL {
			delete(t.tokens.live, old)
		}
	}
	t.tokens.live[text] = token{made: now, scopes: scopes}
	return text
}

// authorize is the status of a request for scope: 200, 401 without a token that
// works now, 403 if the token lacks the scope.
func (t *Tenant) authorize(r *http.Request, scope string) int {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t.tokens.mu.Lock()
	tk, known := t.tokens.live[text]
	t.tokens.mu.Unlock()
	age := time.Since(tk.made)
	switch {
	case !ok || !known || age < t.cfg.TokenHold || age > t.cfg.TokenTTL:
		return http.StatusUnauthorized
	case !slices.Contains(tk.scopes, scope):
		return http.StatusForbidden
	}
	return http.StatusOK
}

// granted are the scopes that the client has.
func (t *Tenant) granted() []string {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	if t.tokens.granted != nil {
		return t.tokens.granted
	}
	return t.cfg.Scopes
}

// secret is the client's.
func (t *Tenant) secret() string {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	return cmp.Or(t.tokens.secret, t.cfg.ClientSecret)
}

// Rotate gives the client another secret, and makes all tokens given out so far stop working.
func (t *Tenant) Rotate(secret string) {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	t.tokens.secret, t.tokens.live = secret, nil
}

// Grant gives the client other scopes, nil: those of Config, and makes all
// tokens given out so far stop working.
func (t *Tenant) Grant(scopes []string) {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	t.tokens.granted, t.tokens.live = scopes, nil
}

// RevokeTokens makes all tokens given out so far stop working.
func (t *Tenant) RevokeTokens() {
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	t.tokens.live = nil
}
