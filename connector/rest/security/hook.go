package security

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Where doorbells are, and the tokens for them.
const (
	hookPath  = "/hooks/"
	tokenPath = "/hooks/token"
)

// rings tells whether a request is one to a doorbell.
func rings(method, path string) bool {
	return method == http.MethodPost && strings.HasPrefix(path, hookPath) && path != tokenPath
}

// A token that is granted says until when it is good and who it was granted to, and is signed by what the
// accounts file has of that account's password. So every worker with that file knows it, nothing is kept of
// it, and it ends with the account or its password. Who can read the file can make one, and ring.
const (
	grantPrefix = "csh_"
	grantLasts  = time.Hour
	grantSlack  = time.Minute // by which the workers' clocks may differ
	grantSecond = 8           // bytes of the instant until which it is good, before the account's name
)

var grantText = base64.RawURLEncoding

// secret is what tokens of an account are signed by.
func (h passwordHash) secret() []byte {
	mac := hmac.New(sha256.New, []byte("coupastream doorbell"))
	mac.Write(h.bcrypt)
	mac.Write(h.salt)
	mac.Write(h.hash)
	return mac.Sum(nil)
}

func (h passwordHash) sign(claim []byte) []byte {
	mac := hmac.New(sha256.New, h.secret())
	mac.Write(claim)
	return mac.Sum(nil)
}

// grant makes a token for an account.
func (u user) grant(name string, until time.Time) string {
	claim := append(binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), name...)
	return grantPrefix + grantText.EncodeToString(claim) + "." + grantText.EncodeToString(u.hash.sign(claim))
}

// granted tells who a token was granted to, and until when it is good; false: it was not granted.
func (a *accounts) granted(token string) (Caller, time.Time, bool) {
	text, hasPrefix := strings.CutPrefix(token, grantPrefix)
	first, second, _ := strings.Cut(text, ".")
	claim, err := grantText.DecodeString(first)
	signature, other := grantText.DecodeString(second)
	if !hasPrefix || err != nil || other != nil || len(claim) < grantSecond {
		return Caller{}, time.Time{}, false
	}
	name := string(claim[grantSecond:])
	u, known := a.users[name]
	if !known {
		u.hash = a.decoy
	}
	if !hmac.Equal(signature, u.hash.sign(claim)) || !known || u.role != Hook {
		return Caller{}, time.Time{}, false
	}
	return Caller{name, Hook}, time.Unix(int64(binary.BigEndian.Uint64(claim)), 0), true
}

// grants tells whether there is an account to which tokens are granted.
func (a *accounts) grants() bool {
	for u := range maps.Values(a.users) {
		if u.role == Hook {
			return true
		}
	}
	return false
}

// mostGrantBody is the longest body of a request for a token, in bytes.
const mostGrantBody = 16 << 10

// grant answers a request for a token: RFC 6749, section 4.4, client credentials. The client is a user with
// the role hook. Coupa sends its id and secret in a Basic header, which it writes in the alphabet for URLs,
// and the rest as a form or as JSON ("OAuth 2.0 for Call Outs", 11 August 2021).
func (a *authenticator) grant(rw http.ResponseWriter, r *http.Request) {
	form, err := grantForm(rw, r)
	if err != nil {
		refuseGrant(rw, r, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	name, password, basic := basicAuth(r)
	if !basic {
		name, password = form.Get("client_id"), form.Get("client_secret")
	}
	switch kind := form.Get("grant_type"); {
	case kind == "":
		refuseGrant(rw, r, http.StatusBadRequest, "invalid_request", "there is no grant_type; it is client_credentials")
		return
	case kind != "client_credentials":
		refuseGrant(rw, r, http.StatusBadRequest, "unsupported_grant_type", "the grant_type is client_credentials")
		return
	}
	list := a.accounts.Get()
	caller, p := a.password(r.Context(), list, r.RemoteAddr, name, password)
	switch {
	case p != nil && p.status == http.StatusUnauthorized:
		rw.Header().Set("WWW-Authenticate", basicChallenge)
		refuseGrant(rw, r, p.status, "invalid_client", "the client's id and secret are not name and password of a user of the worker's rest.auth.file")
		return
	case p != nil:
		p.answer(rw, r)
		return
	case caller.Role != Hook:
		refuseGrant(rw, r, http.StatusBadRequest, "unauthorized_client", "tokens are for users with the role hook")
		return
	}
	text, _ := json.Marshal(struct { // of texts and a number
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Lasts int    `json:"expires_in"` // seconds
	}{list.users[caller.Name].grant(caller.Name, time.Now().Add(grantLasts)), "Bearer", int(grantLasts / time.Second)})
	answerGrant(rw, http.StatusOK, text)
	a.log.Debug("a token for doorbells was granted", "account", caller.Name, "from", r.RemoteAddr)
}

// grantForm reads what a request for a token says, but for its headers.
func grantForm(rw http.ResponseWriter, r *http.Request) (url.Values, error) {
	text, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, mostGrantBody))
	if err != nil {
		return nil, errors.New("the body could not be read, or is too long")
	}
	kind, _, err := mime.ParseMediaType(cmp.Or(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"))
	form := url.Values{}
	switch {
	case err == nil && kind == "application/x-www-form-urlencoded":
		form, err = url.ParseQuery(string(text))
	case err == nil && kind == "application/json":
		members := map[string]string{}
		err = json.NewDecoder(bytes.NewReader(text)).Decode(&members)
		for name, value := range members {
			form.Set(name, value)
		}
	default:
		return nil, errors.New("the body is neither a form nor JSON")
	}
	if err != nil {
		return nil, errors.New("the body can't be read as what its Content-Type says")
	}
	return form, nil
}

// basicAuth reads a Basic header, in either alphabet of base64.
func basicAuth(r *http.Request) (name, password string, ok bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSpace(text)), "=")
	plain, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

// refuseGrant answers in the form of RFC 6749, section 5.2.
func refuseGrant(rw http.ResponseWriter, r *http.Request, status int, code, why string) {
	leaveBody(rw, r)
	text, _ := json.Marshal(struct { // of texts
		Code string `json:"error"`
		Why  string `json:"error_description"`
	}{code, why})
	answerGrant(rw, status, text)
}

func answerGrant(rw http.ResponseWriter, status int, text []byte) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Pragma", "no-cache") // beside Cache-Control: RFC 6749, section 5.1
	rw.WriteHeader(status)
	_, _ = rw.Write(text)
}
