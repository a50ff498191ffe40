package coupatest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// reader is a client of a tenant, without a socket.
type reader struct {
	t      *testing.T
	tenant *Tenant
	token  string
}

// open makes a tenant without limits and a reader with a token that works.
func open(t *testing.T, cfg Config) *reader {
	t.Helper()
	if cfg.RateLimit == 0 {
		cfg.RateLimit = -1
	}
	if cfg.TokenHold == 0 {
		cfg.TokenHold = -1
	}
	r := &reader{t: t, tenant: New(cfg)}
	r.token = r.mint(url.Values{})
	return r
}

// mint asks for a token.
func (r *reader) mint(form url.Values) string {
	r.t.Helper()
	form.Set("grant_type", "client_credentials")
	status, body, _ := r.do(http.MethodPost, "/oauth2/token", nil, strings.NewReader(form.Encode()))
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		r.t.Fatalf("token: %d %s", status, body)
	}
	return answer.Token
}

// do makes one request and reads the whole answer; status 0 and the error's text
// if there is none.
func (r *reader) do(method, path string, header map[string]string, body io.Reader) (int, []byte, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "https://acme.coupahost.com"+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for key, value := range header {
		req.Header.Set(key, value)
	}
	resp, err := r.tenant.Transport().RoundTrip(req)
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, append(out, "!"+err.Error()...), resp.Header
	}
	return resp.StatusCode, out, resp.Header
}

// fetched is a row of a page.
type fetched struct {
	ID        int64     `json:"id"`
	CreatedAt time.Time `json:"created-at"`
	UpdatedAt time.Time `json:"updated-at"`
	JSON      []byte    `json:"-"`
}

// page gets one page; query is key, value, key, value…
func (r *reader) page(object string, query ...string) []fetched {
	r.t.Helper()
	status, body, _ := r.do(http.MethodGet, path(object, query...), nil, nil)
	if status != http.StatusOK {
		r.t.Fatalf("%s: %d %s", path(object, query...), status, body)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		r.t.Fatalf("%s: %v in %.300s", path(object, query...), err, body)
	}
	rows := make([]fetched, len(list))
	for i, raw := range list {
		if err := json.Unmarshal(raw, &rows[i]); err != nil {
			r.t.Fatal(err)
		}
		rows[i].JSON = bytes.Clone(raw)
	}
	return rows
}

// walk reads a whole collection by id.
func (r *reader) walk(object string, query ...string) []fetched {
	r.t.Helper()
	var all []fetched
	last := "0"
	for {
		rows := r.page(object, append([]string{"id[gt]", last, "order_by", "id", "dir", "asc", "limit", "50"}, query...)...)
		if len(rows) == 0 {
			return all
		}
		all = append(all, rows...)
		last = jsonText(rows[len(rows)-1].ID)
	}
}

func path(object string, query ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	return "/api/" + object + "?" + values.Encode()
}

func jsonText(value any) string {
	out, _ := json.Marshal(value)
	return string(out)
}

// members decodes a row with exact numbers.
func members(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	object, ok := decode(raw).(map[string]any)
	if !ok {
		t.Fatalf("not an object: %.200s", raw)
	}
	return object
}

func ids(rows []fetched) []int64 {
	out := make([]int64, len(rows))
	for i, row := range rows {
		out[i] = row.ID
	}
	return out
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
