// Package client asks a running worker over its REST API, for the commands that operate one.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/transport"
)

// Config says which worker is asked, and as whom. Files hold what is not to stand on a command line.
type Config struct {
	URL          string
	User         string
	PasswordFile string
	TokenFile    string
	CA           string // PEM file; "" for the system's roots
	Cert, Key    string // PEM files of a client's certificate; "" for none
	ReadOnly     bool   // requests that change something are refused here, whatever the account may do
}

// Usage is a mistake in a Config, or in what a request is made of.
type Usage struct{ error }

// Error is what a worker answered in place of what was asked for.
type Error struct {
	Status  int
	Message string // the worker's own
	Remedy  string
}

func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + "; " + e.Remedy
}

// Client asks one worker, and through it its group.
type Client struct {
	base          string
	authorization string
	readOnly      bool
	http          *http.Client
}

// ErrReadOnly is what a client says that was made to change nothing.
var ErrReadOnly = errors.New("nothing is to be changed from here")

const (
	timeout    = 2 * time.Minute // the worker's own bound on an answer
	mostAnswer = 256 << 20
)

// New makes a client. It sends nothing; the error is a Usage.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, Usage{fmt.Errorf("--url %q is not the address of a worker; write e.g. http://127.0.0.1:8083", cleaned(u, cfg.URL))}
	}
	c := &Client{base: strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), readOnly: cfg.ReadOnly}
	if c.authorization, err = cfg.credentials(); err != nil {
		return nil, err
	}
	way := http.DefaultTransport.(*http.Transport).Clone()
	if way.TLSClientConfig, err = cfg.tls(); err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: way, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the answer is a redirect, so that is no worker")
	}}
	return c, nil
}

// Close lets go of connections that are open. A client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// cleaned is an address without what may be a password in it.
func cleaned(u *url.URL, text string) string {
	if u != nil {
		return u.Redacted()
	}
	return strings.ToValidUTF8(text, "?")
}

// credentials are the Authorization header; "" for none.
func (c Config) credentials() (string, error) {
	switch {
	case c.TokenFile != "" && c.User != "":
		return "", Usage{errors.New("--token-file and --user are two ways to log in; give one of them")}
	case c.TokenFile != "":
		token, err := secretOf("--token-file", c.TokenFile)
		return "Bearer " + token, err
	case c.User != "" && c.PasswordFile == "":
		return "", Usage{errors.New("--user needs a password; give --password-file")}
	case c.PasswordFile != "" && c.User == "":
		return "", Usage{errors.New("--password-file needs a user; give --user")}
	case c.User != "":
		password, err := secretOf("--password-file", c.PasswordFile)
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(c.User, password)
		return r.Header.Get("Authorization"), err
	}
	return "", nil
}

// secretOf reads a file that holds a secret, without the line break at its end.
func secretOf(flag, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", Usage{fmt.Errorf("%s: %w", flag, err)}
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", Usage{fmt.Errorf("%s: %s is not one line; write the secret alone into it", flag, path)}
	}
	return secret, nil
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := transport.Authorities("--cacert", c.CA)
		if err != nil {
			return nil, Usage{err}
		}
		t.RootCAs = roots
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, Usage{errors.New("--cert and --key belong together; give both")}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, Usage{fmt.Errorf("--cert %s: cannot be used with --key: %w", c.Cert, err)}
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// path makes the path of a request from its parts, which may hold any character.
func path(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// do sends a request, with body as JSON unless it is nil, and
// reads the answer into what into points to unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	text, err := c.Ask(ctx, method, path, query, body)
	if err != nil || into == nil || len(text) == 0 {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return c.notAWorkers(err)
	}
	return nil
}

// Ask sends a request whose path is escaped, with body as JSON unless it is nil, and gives the answer as it
// is. An answer that is an error is an error.
func (c *Client) Ask(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error) {
	res, err := c.open(ctx, method, path, query, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	return text, nil
}

// notAWorkers says that an answer can't be read.
func (c *Client) notAWorkers(err error) error {
	return fmt.Errorf("%s answered with something else than a worker does: %w; check --url", c.base, err)
}

// open sends a request, for an answer of media types. An answer that is an error
// is an error; of another one the caller closes the body.
func (c *Client) open(ctx context.Context, method, path string, query url.Values, body any, accept string) (*http.Response, error) {
	if c.readOnly && !security.Reads(method) {
		return nil, ErrReadOnly
	}
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", accept)
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	return nil, c.errorOf(res.StatusCode, text)
}

// unreached says why there is no answer, and what to look at.
func (c *Client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var authority x509.UnknownAuthorityError
	var name *net.DNSError
	var alert tls.AlertError
	remedy := "check --url, or COUPASTREAM_URL"
	switch {
	case errors.As(err, &authority):
		remedy = "give the authority of its certificate with --cacert"
	case errors.As(err, &alert):
		remedy = "give a certificate that it takes with --cert and --key"
	case errors.Is(err, syscall.ECONNREFUSED):
		err, remedy = errors.New("nothing listens there"), "start a worker, or give the address of one with --url or COUPASTREAM_URL"
	case errors.As(err, &name):
		remedy = "check the host's name in --url, or COUPASTREAM_URL"
	}
	return fmt.Errorf("no answer of a worker at %s: %w; %s", c.base, err, remedy)
}

// errorOf makes an error of an answer that is one.
func (c *Client) errorOf(status int, text []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = fmt.Sprintf("%s answered %d %s", c.base, status, http.StatusText(status))
	}
	e := &Error{Status: status, Message: said.Message}
	switch status {
	case http.StatusUnauthorized:
		e.Message, e.Remedy = c.base+" wants to know who asks", "give --user and --password-file, or --token-file, of an account of the worker's rest.auth.file"
		if c.authorization != "" {
			e.Message, e.Remedy = c.base+" does not take the user, password or token", "check them against the worker's rest.auth.file"
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.Message, e.Remedy = strings.TrimSuffix(e.Message, "."), "try again in a while"
	}
	return e
}

// IsNotFound tells whether a worker answered that there is no such thing.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}
