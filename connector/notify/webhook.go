package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// Webhook is an address that events are POSTed to. It may hold secrets of its owner, and is never logged.
type Webhook struct {
	URL    string
	Secret coupa.Secret // "": events are not signed
	// Foreign: not the worker's operator gave the address, and [Config.Foreign] is to reach it.
	Foreign bool
}

// host is what may be told of the address.
func (h Webhook) host() string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

// attemptTimeout bounds one attempt.
const attemptTimeout = 15 * time.Second

// refusal is an answer that says no.
type refusal struct {
	status     int
	retryAfter time.Duration
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("answered with %d %s", r.status, http.StatusText(r.status))
	if r.status >= 300 && r.status < 400 {
		text += "; redirects are not followed: give the address that it leads to"
	}
	return text
}

// passes tells whether the same request may be taken later.
func (r *refusal) passes() bool {
	return r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout
}

// post sends an event once.
func post(ctx context.Context, client *http.Client, h Webhook, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notifications.webhook.url can't be used")
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "coupastream")
	req.Header.Set("Webhook-Id", e.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if h.Secret != "" {
		req.Header.Set("Webhook-Signature", sign(h.Secret, e.ID, now, body))
	}
	res, err := client.Do(req)
	if err != nil {
		if u, ok := err.(*url.Error); ok { // it holds the address
			err = u.Err
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection serves again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	seconds, _ := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16)
	return &refusal{res.StatusCode, time.Duration(seconds) * time.Second}
}

// sign is a signature as Standard Webhooks has it, of id, time and body. A
// secret with the prefix whsec_ is base64 of the key, any other is the key.
func sign(secret coupa.Secret, id string, at time.Time, body []byte) string {
	key := []byte(secret)
	if encoded, prefixed := strings.CutPrefix(string(secret), "whsec_"); prefixed {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
