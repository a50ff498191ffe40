//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
)

// session is how long the brokers let a client do before it has to log in again, and
// tokenLife how long a token is good for: clients ask for another one ten seconds before.
const (
	session   = 5 * time.Second
	tokenLife = 12 * time.Second
)

// Who the workers are.
const (
	principal = "coupastream"
	password  = "e2e-password"
)

// rightsSettings are those of brokers that ask workers who they are and what they may do. Who comes past the
// proxies may do all, as the tests, the judge and the brokers themselves do. Tokens need no signature.
var rightsSettings = fmt.Sprintf(`authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
listener.name.proxied.sasl.enabled.mechanisms=SCRAM-SHA-256,OAUTHBEARER
listener.name.proxied.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.proxied.scram-sha-256.connections.max.reauth.ms=%[1]d
listener.name.proxied.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.proxied.oauthbearer.connections.max.reauth.ms=%[1]d`, session.Milliseconds())

// right is one of those that deploy/OPERATING.md asks for.
type right struct {
	name string
	on   func(*scene, *kadm.ACLBuilder)
	ops  []kadm.ACLOperation
}

func onData(s *scene, b *kadm.ACLBuilder) {
	var prefixes []string
	for _, t := range s.tenants {
		prefixes = append(prefixes, t.name+".")
	}
	b.ResourcePatternType(kadm.ACLPatternPrefixed).Topics(prefixes...)
}

func onCheckpoints(s *scene, b *kadm.ACLBuilder) { b.Topics(s.group + "-checkpoints") }
func onConfigs(s *scene, b *kadm.ACLBuilder)     { b.Topics(s.group + "-configs") }
func onGroup(s *scene, b *kadm.ACLBuilder)       { b.Groups(s.group) }

func onLetters(s *scene, b *kadm.ACLBuilder) {
	b.ResourcePatternType(kadm.ACLPatternPrefixed).Groups(s.group + "-replay-")
}

func onIDs(s *scene, b *kadm.ACLBuilder) {
	b.ResourcePatternType(kadm.ACLPatternPrefixed).TransactionalIDs(s.group + "-")
}

// The rights. WRITE and READ have DESCRIBE with them.
var (
	look             = []kadm.ACLOperation{kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpCreate}
	lookAtData       = right{"to see and make data topics", onData, look}
	writeData        = right{"WRITE on data topics", onData, []kadm.ACLOperation{kadm.OpWrite}}
	readData         = right{"READ on data topics", onData, []kadm.ACLOperation{kadm.OpRead}}
	lookAtPositions  = right{"to see and make the checkpoint topic", onCheckpoints, look}
	writeCheckpoints = right{"WRITE on the checkpoint topic", onCheckpoints, []kadm.ACLOperation{kadm.OpWrite}}
	readCheckpoints  = right{"READ on the checkpoint topic", onCheckpoints, []kadm.ACLOperation{kadm.OpRead}}
	lookAtConfigs    = right{"to see and make the config topic", onConfigs, look}
	writeConfigs     = right{"WRITE on the config topic", onConfigs, []kadm.ACLOperation{kadm.OpWrite}}
	readConfigs      = right{"READ on the config topic", onConfigs, []kadm.ACLOperation{kadm.OpRead}}
	writeIDs         = right{"WRITE on the transactional ids", onIDs, []kadm.ACLOperation{kadm.OpWrite}}
	lookAtIDs        = right{"DESCRIBE on the transactional ids", onIDs, []kadm.ACLOperation{kadm.OpDescribe}}
	readGroup        = right{"READ on the group", onGroup, []kadm.ACLOperation{kadm.OpRead}}
	readLetters      = right{"READ on the groups of replays", onLetters, []kadm.ACLOperation{kadm.OpRead}}
)

func allRights() []right {
	return []right{lookAtData, writeData, readData, lookAtPositions, writeCheckpoints, readCheckpoints, lookAtConfigs, writeConfigs, readConfigs, writeIDs, lookAtIDs, readGroup, readLetters}
}

// acl gives a right to the workers, and is what finds it to take it away.
func (s *scene) acl(r right) *kadm.ACLBuilder {
	b := kadm.NewACLs().Allow("User:" + principal).AllowHosts("*").Operations(r.ops...)
	r.on(s, b)
	return b
}

func (s *scene) grant(rights ...right) {
	s.Helper()
	for _, r := range rights {
		s.insist("granting "+r.name, func() error {
			created, err := s.p.topics.CreateACLs(s.Context(), s.acl(r))
			for _, c := range created {
				err = errors.Join(err, c.Err)
			}
			return err
		})
	}
}

func (s *scene) revoke(rights ...right) {
	s.Helper()
	for _, r := range rights {
		s.insist("revoking "+r.name, func() error {
			deleted, err := s.p.topics.DeleteACLs(s.Context(), s.acl(r))
			for _, d := range deleted {
				err = errors.Join(err, d.Err)
			}
			return err
		})
	}
}

// taken is a right that the workers have not for some seconds. Without some of them a worker
// ends, which says which one is missing, and a service manager starts it again.
func taken(name string, rights ...right) blow {
	return blow{"rights are taken and given: " + name, func(s *scene) func() {
		s.excuse("no right to")
		s.revoke(rights...)
		s.while(time.Second, 4*time.Second)
		return func() { s.grant(rights...) }
	}}
}

// excuse has workers end that say so with their last words.
func (s *scene) excuse(words string) { s.excuses = append(s.excuses, words) }

// excused tells whether a worker that has ended by itself may have.
func (s *scene) excused(m *actor) bool {
	last := tail(m.stderr, 1)
	for _, words := range s.excuses {
		if m.cmd.ProcessState.ExitCode() == 1 && strings.Contains(last, words) {
			return true
		}
	}
	return false
}

// sessionEnds lasts until the sessions are over that began before it.
var sessionEnds = blow{"the sessions with the brokers end", func(s *scene) func() {
	s.while(session, session+time.Second)
	return func() {}
}}

// loginRefused has nobody log in until it is healed; who is in stays until his session ends.
var loginRefused = blow{"workers may not log in for a while", func(s *scene) func() {
	s.excuse("check sasl.")
	heal := func() { s.setPassword(true) }
	if s.tokens == nil {
		s.setPassword(false)
	} else {
		answers := []answer{away, stale}
		s.tokens.answers.Store(answers[s.random.IntN(len(answers))])
		heal = func() { s.tokens.answers.Store(well) }
	}
	s.while(session/2, 2*session)
	return heal
}}

// rightsDeck is what becomes of the rights and sessions of workers.
func rightsDeck() []incident {
	var d []incident
	at := func(b blow, p failpoint.Point, side string) {
		d = append(d, incident{kind: struckAtPoint(b), aim: streaming, point: p, side: side})
	}
	all := taken("all", allRights()...)
	for _, r := range []right{writeData, readData, writeCheckpoints, readCheckpoints, writeConfigs, readConfigs, writeIDs, readGroup} {
		d = append(d, incident{kind: struckBy(taken(r.name, r)), aim: streaming})
	}
	for _, aim := range situations() {
		d = append(d, incident{kind: struckBy(all), aim: aim}, incident{kind: struckBy(loginRefused), aim: aim})
	}
	at(taken(writeData.name, writeData), failpoint.Produce, "before")
	at(taken(writeCheckpoints.name, writeCheckpoints), failpoint.Mark, "before")
	at(taken(writeIDs.name, writeIDs), failpoint.Commit, "before")
	at(taken(readGroup.name, readGroup), failpoint.Commit, "after")
	at(all, failpoint.Commit, "before")
	at(loginRefused, failpoint.Commit, "before")
	for _, p := range openPoints() {
		for _, side := range []string{"before", "after"} {
			at(sessionEnds, p, side)
		}
	}
	return d
}

// admit gives the workers of a scene their rights, and what they log in with: in every second scene tokens.
func (s *scene) admit() {
	s.Helper()
	s.insist("forgetting rights", func() error {
		_, err := s.p.topics.DeleteACLs(s.Context(), kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations().Allow("User:"+principal).AllowHosts())
		return err
	})
	s.grant(allRights()...)
	if s.number%6 < 3 {
		s.tokens = newTokens(s)
	}
	s.setPassword(s.tokens == nil)
}

func (s *scene) setPassword(there bool) {
	s.Helper()
	s.insist("setting a password", func() error {
		var gone []kadm.DeleteSCRAM
		var set []kadm.UpsertSCRAM
		if there {
			set = []kadm.UpsertSCRAM{{User: principal, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}}
		} else {
			gone = []kadm.DeleteSCRAM{{User: principal, Mechanism: kadm.ScramSha256}}
		}
		altered, err := s.p.topics.AlterUserSCRAMs(s.Context(), gone, set)
		if there {
			err = errors.Join(err, altered.Error())
		} // else it was not there before
		return err
	})
}

// login is what the workers' files say of it.
func (s *scene) login() map[string]string {
	switch {
	case s.class != three:
		return nil
	case s.tokens == nil:
		return map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": principal, "sasl.password": password}
	default:
		return map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
			"sasl.oauthbearer.token.endpoint.url": s.tokens.URL, "sasl.oauthbearer.client.id": principal, "sasl.oauthbearer.client.secret": password}
	}
}

// answer is what comes from where tokens are given.
type answer int32

const (
	well  answer = iota
	away         // 503
	stale        // tokens that are over
)

// tokens is where OAUTHBEARER has its tokens from.
type tokens struct {
	*httptest.Server
	answers atomic.Value
}

func newTokens(tb testing.TB) *tokens {
	t := &tokens{}
	t.answers.Store(well)
	t.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, secret, _ := r.BasicAuth()
		until := time.Now().Add(tokenLife)
		switch how := t.answers.Load(); {
		case how == away:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case user != principal || secret != password:
			w.WriteHeader(http.StatusUnauthorized)
			return
		case how == stale:
			until = time.Now().Add(-time.Minute)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": unsigned(until), "token_type": "bearer", "expires_in": int(tokenLife.Seconds())})
	}))
	tb.Cleanup(t.Close)
	return t
}

// unsigned is a token that says who the workers are.
func unsigned(until time.Time) string {
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, principal, until.Add(-tokenLife).Unix(), until.Unix())
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "."
}
