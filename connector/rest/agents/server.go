package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coupastream/coupastream/connector/rest/security"
)

// instructions are for whoever the agent is driven by.
const instructions = `coupastream streams changes of Coupa instances to Kafka. A connector is a Coupa instance, a task one of its objects (invoices, suppliers, …).
getHealth tells how a connector is: per object its condition, freshness (how long ago everything was proven to be in the topic), rate, errors with remedies, dead letters.
explain tells why one row is in its topic or is not. Answers that are too long are shortened, and say so.`

// newServer is an MCP server with tools.
func newServer(version string, tools []Tool) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "coupastream", Version: version}, &mcp.ServerOptions{
		Instructions: instructions,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}, // which stay as they are
	})
	for _, t := range tools {
		mcp.AddTool(s, &mcp.Tool{
			Name: t.Name, Description: t.Description, InputSchema: t.Input,
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: !t.Changes, IdempotentHint: t.Idempotent},
		}, func(ctx context.Context, _ *mcp.CallToolRequest, given map[string]json.RawMessage) (*mcp.CallToolResult, any, error) {
			text, err := t.Do(ctx, given)
			if err != nil {
				return nil, nil, fmt.Errorf("%s", within([]byte(err.Error()), mostAnswer))
			}
			said := within(text, mostAnswer)
			if said == "" {
				said = "done"
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil, nil
		})
	}
	return s
}

// Serve answers what comes from in, until that or ctx ends.
func Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser, version string, tools []Tool) error {
	err := newServer(version, tools).Run(ctx, &mcp.IOTransport{Reader: in, Writer: out})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Options say who answers at /mcp, and what may be asked there.
type Options struct {
	Version string
	Changes bool // tools that change something are there, for accounts that may change something
}

// Handler answers /mcp, and has api answer all other requests. api stands behind a Guard of its own: what an
// agent asks is sent there with all that the request to /mcp came with (credentials, certificate, origin,
// address), so that it may do what its account may, and no more, and is told of in the log as that account's.
//
// No session is kept: each request to /mcp is for itself, and its answer is JSON.
func Handler(api http.Handler, o Options) (http.Handler, error) {
	reading, err := Operations(through(api), false)
	if err != nil {
		return nil, err
	}
	all, err := Operations(through(api), o.Changes)
	if err != nil {
		return nil, err
	}
	reader, admin := newServer(o.Version, reading), newServer(o.Version, all)
	serve := mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		if security.CallerOf(r.Context()).Role == security.Admin {
			return admin
		}
		return reader
	}, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, PropagateRequestCancellation: true,
		DisableLocalhostProtection: true, // the Guard knows by which names the listener is reached
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !security.AsksAsAgent(r.URL.Path) {
			api.ServeHTTP(rw, r)
			return
		}
		serve.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), cameWith{}, r)))
	}), nil
}

// cameWith is the key of the request to /mcp in the context of what it asks for.
type cameWith struct{}

// through sends what agents ask to api, as who has sent the request to /mcp.
func through(api http.Handler) Ask {
	return func(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error) {
		u, err := url.Parse(path)
		if err != nil {
			return nil, err
		}
		u.RawQuery = query.Encode()
		r := ctx.Value(cameWith{}).(*http.Request).Clone(ctx)
		r.Method, r.URL, r.RequestURI = method, u, u.RequestURI()
		r.Header.Set("Accept", "application/json")
		r.Header.Set("User-Agent", "mcp; "+r.UserAgent())
		r.Header.Del("Content-Type")
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
		if body != nil {
			text, err := json.Marshal(body)
			if err != nil {
				return nil, err
			}
			r.Header.Set("Content-Type", "application/json")
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		}
		got := answer{header: http.Header{}}
		api.ServeHTTP(&got, r)
		if got.status >= http.StatusBadRequest {
			return nil, fmt.Errorf("%d %s: %s", got.status, http.StatusText(got.status), got.message())
		}
		return got.body.Bytes(), nil
	}
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// message is what an answer that is an error says.
func (a *answer) message() string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(a.body.Bytes(), &said) != nil || said.Message == "" {
		return a.body.String()
	}
	return said.Message
}
