//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// requested is what people and tools ask of a connector over
// REST, of any worker of the group, while rows change.
var requested = kind{name: "over REST", strike: strikeRequest}

// killed is the second half of a request at which a worker is killed.
const killed = ", and a kill -9"

func requests() []string {
	var all []string
	for _, what := range []string{"pause, resume", "stop, resume", "restart", "a task's restart", "another configuration", "delete, create"} {
		all = append(all, what, what+killed)
	}
	return all
}

// strikeRequest asks for something and, where it has to be undone, asks for that a while
// later. With a kill, a worker dies meanwhile: the one that was asked, the owner, or neither.
func strikeRequest(s *scene, i *incident) {
	m, t := s.worker(), s.tenants[s.random.IntN(len(s.tenants))]
	s.moment(i)
	what, kill := strings.CutSuffix(i.detail, killed)
	at := "/connectors/" + t.name
	var steps []request
	switch what {
	case "pause, resume":
		steps = []request{{http.MethodPut, at + "/pause", nil}, {http.MethodPut, at + "/resume", nil}}
	case "stop, resume":
		steps = []request{{http.MethodPut, at + "/stop", nil}, {http.MethodPut, at + "/resume", nil}}
	case "restart":
		steps = []request{{http.MethodPost, at + "/restart?includeTasks=true", nil}}
	case "a task's restart":
		steps = []request{{http.MethodPost, at + "/tasks/0/restart", nil}}
	case "another configuration":
		config := maps.Clone(s.configs[t.name])
		config["poll.interval.ms"] = fmt.Sprint(250 + s.random.IntN(100))
		steps = []request{{http.MethodPut, at + "/config", config}}
	case "delete, create":
		steps = []request{{http.MethodDelete, at, nil}, {http.MethodPut, at + "/config", s.configs[t.name]}}
	}
	s.struck(i, m, "")
	for n, r := range steps {
		if kill && n == 0 {
			victim := s.pick(s.up())
			asked := make(chan error, 1)
			// it may be done, or not, or the answer may be lost
			go func() { _, err := m.ask(r); asked <- err }()
			s.while(0, 30*time.Millisecond)
			victim.kill()
			s.lost("kill -9")
			<-asked
			if len(s.up()) == 0 {
				s.pick(s.members).start("")
			}
		}
		s.ask(r)
		s.while(0, 1500*time.Millisecond)
	}
}

// request is one to a worker's REST API.
type request struct {
	method, path string
	body         any
}

// ask sends a request to the workers that run, one after the
// other, until one has done it: what tools do that can repeat it.
func (s *scene) ask(r request) {
	s.Helper()
	err := await(s.Context(), r.method+" "+r.path, time.Minute, func() error {
		s.supervise()
		if len(s.up()) == 0 {
			s.pick(s.members).start("")
		}
		status, err := s.pick(s.up()).ask(r)
		if status == http.StatusNotFound && r.method == http.MethodDelete { // the one before was done
			return nil
		}
		return err
	})
	if err != nil {
		s.fault("%v", err)
	}
}

// ask sends a request to one worker. An error: it was not answered.
func (m *actor) ask(r request) (status int, err error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(r.method, m.url+r.path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("ops", hookPassword) // where there are accounts
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		err = errors.Join(err, fmt.Errorf("%s answered %s %s with %d: %s", m.name, r.method, r.path, resp.StatusCode, answer))
	}
	return resp.StatusCode, err
}

// submit makes the connectors of a group over REST. Their secrets stand in the workers' environment.
func (s *scene) submit() {
	s.Helper()
	for n, t := range s.tenants {
		config := s.settings(t)
		config["coupa.client.secret"] = "${env:" + secretOf(n) + "}"
		s.configs[t.name] = config
		s.ask(request{http.MethodPut, "/connectors/" + t.name + "/config", config})
	}
}

func secretOf(n int) string { return fmt.Sprintf("COUPA_SECRET_%d", n) }

// secrets are the environment in which the connectors find them.
func (s *scene) secrets() []string {
	var env []string
	for n, t := range s.tenants {
		env = append(env, secretOf(n)+"="+t.secret)
	}
	return env
}
