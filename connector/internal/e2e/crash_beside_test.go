//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// rings tells whether doorbells ring all the time, at any of the workers.
func (s *scene) rings() bool { return s.class == three && (s.number%4 == 1 || s.number%4 == 2) }

// ring rings until the scene is over, some of it with a forged token. Workers that do not run do not answer.
func (s *scene) ring() {
	ctx, stop := context.WithCancel(context.WithoutCancel(s.Context()))
	var done sync.WaitGroup
	statuses := map[int]int{}
	b, random := toneless(s), rand.New(rand.NewPCG(s.p.seed, uint64(s.number)))
	done.Go(func() {
		for ctx.Err() == nil {
			at := s.members[random.IntN(len(s.members))].url
			switch t := s.tenants[random.IntN(len(s.tenants))]; {
			case b.token == "":
				_ = b.login(at)
			case random.IntN(50) == 0:
				statuses[b.ring(at, t.name, s.objects[0], "forged")]++
			default:
				statuses[b.ring(at, t.name, s.objects[random.IntN(len(s.objects))], b.token)]++
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(random.IntN(200)) * time.Millisecond):
			}
		}
	})
	s.Cleanup(func() {
		stop()
		done.Wait()
		s.Logf("rings, by status: %v", statuses)
		checkRings(s, statuses)
		if statuses[202] == 0 {
			s.Error("no ring was heard")
		}
	})
}

// room is how large a record may be in the topic in which some are larger.
const room = 16 << 10

// enlarged is the object of which every third row of the first tenant is too large for its topic.
func (s *scene) enlarged() (object, member string) {
	if s.several() {
		return "invoices", "internal-note"
	}
	return "suppliers", "name"
}

func (s *scene) tooSmall() string {
	object, _ := s.enlarged()
	return s.tenants[0].name + "." + object
}

// letters is the topic of the dead letters.
func (s *scene) letters() string { return s.tenants[0].name + ".dead" }

// enlarge makes the topic, and every third row too large for it. They are
// dead letters, for which the history does not wait.
func (s *scene) enlarge(history map[int64]bool) {
	s.Helper()
	object, member := s.enlarged()
	limit := fmt.Sprint(room)
	created, err := s.p.topics.CreateTopic(s.Context(), 3, int16(s.p.brokers), map[string]*string{"max.message.bytes": &limit}, s.tooSmall())
	if err = errors.Join(err, created.Err); err != nil {
		s.Fatal(err)
	}
	long, err := json.Marshal(strings.Repeat("long ", room))
	if err != nil {
		s.Fatal(err)
	}
	for id := range history {
		if id%3 == 0 {
			s.tenants[0].must(s, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d/members/%s", object, id, member), json.RawMessage(long), nil)
			delete(history, id)
		}
	}
}

// allow changes what the topic takes.
func (s *scene) allow(bytes int) {
	s.Helper()
	limit := fmt.Sprint(bytes)
	s.insist("another max.message.bytes", func() error {
		altered, err := s.p.topics.AlterTopicConfigs(s.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, s.tooSmall())
		for _, a := range altered {
			err = errors.Join(err, a.Err)
		}
		return err
	})
}

// lettersSent has dead letters sent by a replay that is killed, and by another one.
var lettersSent = blow{"dead letters are sent again, by a replay that is killed", func(s *scene) func() {
	s.allow(1 << 20)
	args := s.replayArgs()
	killed := launchWith(s, s.secrets(), filepath.Join(s.dir, "replay"), args[0], args[1:]...)
	s.while(500*time.Millisecond, 3*time.Second)
	killed.kill()
	return func() {
		s.sendLetters()
		s.allow(room)
	}
}}

// sendLetters has dead letters sent until a replay finds none.
func (s *scene) sendLetters() {
	s.Helper()
	s.allow(1 << 20)
	err := await(s.Context(), "the last dead letter to go", s.patience(), func() error {
		s.supervise()
		args := s.replayArgs()
		cmd := exec.CommandContext(s.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), s.secrets()...)
		all, err := readReplay(cmd)
		for _, r := range all {
			if r.Replayed+r.Failing > 0 {
				err = errors.Join(err, fmt.Errorf("%+v", r))
			}
		}
		return err
	})
	if err != nil {
		s.fault("%v", err)
	}
}

// replayArgs is a replay of the first tenant's letters.
func (s *scene) replayArgs() []string {
	connector := filepath.Join(s.dir, s.tenants[0].name+".json")
	if s.several() {
		connector = s.connector(s.tenants[0])
	}
	return []string{s.p.binary, "replay", connector, "--worker", s.members[0].args[1], "-o", "json"}
}
