package main

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// agentOf is an agent that has started `coupastream mcp`.
func agentOf(t *testing.T, a *app, args ...string) *mcp.ClientSession {
	t.Helper()
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	a.stdin, a.stdout = in, out
	done := make(chan int, 1)
	go func() { done <- a.execute(t.Context(), append([]string{"mcp"}, args...)) }()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(t.Context(), &mcp.IOTransport{Reader: fromServer, Writer: toServer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		if status := <-done; status != 0 {
			t.Errorf("mcp ended with status %d", status)
		}
	})
	return s
}

// agentAt is an agent that asks over HTTP, with a token.
func agentAt(t *testing.T, url, token string) *mcp.ClientSession {
	t.Helper()
	way := oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}))
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: way, DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// told is what a tool has answered an agent.
func told(t *testing.T, s *mcp.ClientSession, tool string, given map[string]any) (text string, failed bool) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: given})
	if err != nil {
		return err.Error(), true
	}
	return res.Content[0].(*mcp.TextContent).Text, res.IsError
}

func TestToolsOfAnAgent(t *testing.T) {
	t.Parallel()
	reading := []string{"explain", "getConnector", "getContract", "getHealth", "getOffsets", "getSchemas", "getSnapshots", "getStatus", "getTopics", "listConnectors", "schema"}
	changing := []string{"pause", "resume", "restart", "takeSnapshot", "cancelSnapshot"}
	const connector, worker = "testdata/mapped.yaml", "testdata/worker.yaml"
	for _, c := range []struct {
		args []string
		more []string
	}{
		{nil, nil},
		{[]string{"--allow-changes"}, changing},
		{[]string{connector}, []string{"preview"}},
		{[]string{"--worker", worker}, nil},
		{[]string{connector, "--worker", worker}, []string{"preview", "verify", "deadletters"}},
		{[]string{connector, "--worker", worker, "--allow-changes"}, slices.Concat(changing, []string{"preview", "verify", "deadletters", "replay"})},
	} {
		s := agentOf(t, &app{env: environment, stderr: t.Output()}, c.args...)
		var got []string
		for tool, err := range s.Tools(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, tool.Name)
			if tool.Annotations.ReadOnlyHint != (!slices.Contains(changing, tool.Name) && tool.Name != "replay") {
				t.Errorf("%v: %s says that it reads: %t", c.args, tool.Name, tool.Annotations.ReadOnlyHint)
			}
			if schema, _ := json.Marshal(tool.InputSchema); strings.Contains(string(schema), ".yaml") || strings.Contains(string(schema), "password") {
				t.Errorf("%s may be given a file: %s", tool.Name, schema)
			}
		}
		want := slices.Sorted(slices.Values(slices.Concat(reading, c.more)))
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", c.args, got, want)
		}
	}
}

func TestAnAgentAsksTheRunningWorker(t *testing.T) {
	t.Parallel()
	w := &answers{given: map[string]any{"GET /connectors": []string{"acme"}, "PUT /connectors/acme/pause": 202, "PUT /connectors/other/pause": 403}}
	at := worker(t, w)
	env := func(name string) (string, bool) { return at, name == urlVariable }
	for _, c := range []struct {
		change     bool
		tool, name string
		text       string
		failed     bool
	}{
		{false, "listConnectors", "", `["acme"]`, false},
		{false, "pause", "acme", `unknown tool "pause"`, true},
		{true, "pause", "acme", "done", false},
		{true, "pause", "other", "no, for a reason.", true},
	} {
		var args []string
		if c.change {
			args = []string{"--allow-changes"}
		}
		given := map[string]any{}
		if c.name != "" {
			given["name"] = c.name
		}
		text, failed := told(t, agentOf(t, &app{env: env, stderr: t.Output()}, args...), c.tool, given)
		if failed != c.failed || !strings.Contains(text, c.text) {
			t.Errorf("%s %s: %s", c.tool, c.name, text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := []string{"GET /connectors", "PUT /connectors/acme/pause", "PUT /connectors/other/pause"}; !slices.Equal(w.asked, want) {
		t.Errorf("asked for %q", w.asked)
	}
}

// TestACommandOfAnAgentChangesNothing: what a command tells the running worker of its own accord counts, too.
func TestACommandOfAnAgentChangesNothing(t *testing.T) {
	t.Parallel()
	w := &answers{}
	a := &app{env: func(string) (string, bool) { return "", false }, readOnly: true}
	r := &remote{app: a}
	r.to.URL = worker(t, w)
	c, err := r.client()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(context.Background(), "acme"); err == nil || w.asked != nil {
		t.Errorf("%v, and %q was asked", err, w.asked)
	}
}

func TestAnAgentSeesRowsAsTheTopicHasThem(t *testing.T) {
	t.Parallel()
	tenant := coupatest.New(coupatest.Config{Seed: 5, Rows: 30, Objects: []string{"invoices", "suppliers"}, ClientID: "client", ClientSecret: "s3cret", TokenHold: devTokenHold})
	for _, row := range tenant.Rows("suppliers") {
		tenant.SetMember("suppliers", row.ID, "name", `"what the mapping hides: Z"`)
	}
	a := &app{env: environment, stderr: t.Output(), transport: tenant.Transport(), tokenHold: devTokenHold}
	s := agentOf(t, a, "testdata/mapped.yaml")
	text, failed := told(t, s, "preview", map[string]any{"connector": "acme", "object": "suppliers", "rows": 2})
	if failed || strings.Contains(text, "what the mapping hides") || strings.Contains(text, "before") || strings.Count(text, `"name":"***Z"`) != 2 {
		t.Error(text)
	}
	for name, given := range map[string]map[string]any{
		"a file":                   {"connector": "testdata/mapped.yaml", "object": "suppliers"},
		"a connector of no file":   {"connector": "other", "object": "suppliers"},
		"a flag in place of words": {"connector": "acme", "object": "--worker=/etc/passwd"},
		"a flag that is fixed":     {"connector": "acme", "object": "suppliers", "records": false},
		"too many rows":            {"connector": "acme", "object": "suppliers", "rows": 51},
		"rows that are a flag":     {"connector": "acme", "object": "suppliers", "rows": "1 --records=false"},
		"no object":                {"connector": "acme"},
	} {
		if text, failed := told(t, s, "preview", given); !failed || strings.Contains(text, "what the mapping hides") || strings.Contains(text, "/bin/") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if text, _ := told(t, s, "preview", map[string]any{"connector": "acme", "object": "--records=false"}); !strings.Contains(text, "--records=false is not in coupa.objects") {
		t.Errorf("an object was taken for a flag: %s", text)
	}
	if text, failed := told(t, s, "schema", map[string]any{"connector": "acme", "object": "suppliers"}); failed || !json.Valid([]byte(text)) || !strings.Contains(text, `"home"`) {
		t.Error(text)
	}
	if text, failed := told(t, s, "schema", map[string]any{"object": "suppliers"}); failed || strings.Contains(text, `"home"`) {
		t.Error(text)
	}
}
