package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSimulateServesUntilItIsStopped starts the command on a free
// port, logs in with what it printed, reads a page, and stops it.
func TestSimulateServesUntilItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, printed := io.Pipe()
	var stderr bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"simulate", "--listen", "127.0.0.1:0", "--rows", "3", "--objects", "invoices,users",
			"--token-hold", "0", "--changes-per-second", "20", "--rate-limit", "0"}, environment, printed, &stderr)
	}()
	keys := readKeys(t, stdout, 3)

	token := struct {
		Access string `json:"access_token"`
	}{}
	decode(t, &token, func() (*http.Response, error) {
		return http.PostForm(keys["coupa.url"]+"/oauth2/token", url.Values{"grant_type": {"client_credentials"},
			"client_id": {keys["coupa.client.id"]}, "client_secret": {keys["coupa.client.secret"]}, "scope": {"core.invoice.read"}})
	})
	var rows []map[string]any
	decode(t, &rows, func() (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, keys["coupa.url"]+"/api/invoices?limit=3&order_by=id&dir=asc", nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token.Access)
		request.Header.Set("Accept", "application/json")
		return http.DefaultClient.Do(request)
	})
	if len(rows) != 3 || rows[0]["id"] == nil {
		t.Errorf("got %d rows", len(rows))
	}

	stop()
	if got := <-status; got != 0 || stderr.Len() != 0 {
		t.Errorf("status %d, stderr %s", got, &stderr)
	}
}

// readKeys reads n lines of key=value.
func readKeys(t *testing.T, r io.Reader, n int) map[string]string {
	t.Helper()
	keys := map[string]string{}
	lines := bufio.NewScanner(r)
	for len(keys) < n && lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		keys[key] = value
	}
	if len(keys) < n {
		t.Fatalf("only %d keys were printed", len(keys))
	}
	return keys
}

// decode sends a request and reads the JSON answer.
func decode(t *testing.T, into any, send func() (*http.Response, error)) {
	t.Helper()
	response, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", response.StatusCode, err)
	}
}
