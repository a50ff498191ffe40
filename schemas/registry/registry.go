// Package registry is the client of a schema registry: it registers a schema under a subject, or looks it
// up, and gives the id by which the framing of every record names it (schemas.AppendHeader). It knows
// nothing of what the schemas say.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"
)

// requestTime bounds one request to the registry, workTime
// all that one Register or Lookup needs, over all URLs.
const (
	requestTime = 10 * time.Second
	workTime    = 45 * time.Second
)

// Config says where the schema registry is and how to log in. The
// registry's API is Confluent's, which Apicurio and others speak too.
type Config struct {
	// URLs are tried in this order when one cannot be reached; at least one.
	URLs []string
	// Username and Password are for HTTP basic authentication, ""
	// for none. A URL may hold them instead (https://user:pw@…).
	Username string
	Password string
	// Transport makes what sends the requests, each with a timeout of 10 seconds. It calls lost when a
	// connection ends, any number of times. nil: it is NewTransport's, with the system's authorities.
	Transport func(lost func()) (http.RoundTripper, error)
	// HTTPClient does the requests in place of both; nil: Transport does. It excludes Transport.
	HTTPClient *http.Client
	// CacheFile keeps the ids that the registry gave, for
	// starts while it can't be reached; "": none are kept.
	CacheFile string
	// CheckInterval is how often Watch looks an id up again; 0: every DefaultCheckInterval.
	CheckInterval time.Duration
	// Log takes what is worth saying of the cache; nil: nothing is said.
	Log *slog.Logger
}

// Client is a client of a schema registry. It may be used by any number of goroutines. An id is asked for
// once, and goroutines that want the same one share the request. A registry may come back with other ids
// than it gave, empty, or imported without them; [Client.Watch] finds that out.
type Client struct {
	client   *sr.Client
	flight   singleflight.Group
	kept     *idCache
	interval time.Duration
	log      *slog.Logger

	asking chan struct{} // holds one for each question of latest that is asked

	generation atomic.Uint64
	woken      chan struct{} // one signal: ids are to be looked up sooner than planned
	alarm      atomic.Bool   // an id was wrong: all are to be looked up

	mu       sync.Mutex // guards what follows
	ids      map[idKey]*given
	replaced map[string]Replacement // the last one, by subject
	// by subject for whose last version is asked: the next request; nil: nobody waits for one
	latest map[string]*question
	silent time.Time // when an answer was last not waited for any longer
}

// keptPatience is how long the registry is waited for where CacheFile has the id: a registry that hangs is
// to hold up nobody who can do without it. For silentFor after that it is asked, and not waited for at all.
const (
	keptPatience = 2 * time.Second
	silentFor    = 30 * time.Second
)

type idKey struct{ subject, schema string }

// document is the schema as the registry's API takes it. A JSON
// Schema names its dialect first, which no Avro schema does.
func (k idKey) document() sr.Schema {
	if strings.HasPrefix(k.schema, `{"$schema":`) {
		return sr.Schema{Schema: k.schema, Type: sr.TypeJSON}
	}
	return sr.Schema{Schema: k.schema, Type: sr.TypeAvro}
}

// New makes a client; nothing is sent yet. The error names the setting that is wrong.
func New(cfg Config) (*Client, error) {
	r := &Client{
		interval: cmp.Or(cfg.CheckInterval, DefaultCheckInterval), log: cfg.Log, woken: make(chan struct{}, 1),
		ids: map[idKey]*given{}, replaced: map[string]Replacement{}, latest: map[string]*question{}, asking: make(chan struct{}, latestAtOnce),
	}
	opts, err := cfg.clientOptions(r.suspect)
	if err != nil {
		return nil, err
	}
	if r.client, err = sr.NewClient(opts...); err != nil {
		// sr's own text might show a URL
		return nil, errors.New("the schema registry's settings do not fit together")
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.kept = openIDCache(cfg.CacheFile, cfg.URLs, r.log)
	return r, nil
}

// Register gives the id of a schema under a subject, registering it if it is not there yet. If the
// registry can't be asked, the id that it gave the same schema under the same subject before is
// given, be it to an earlier process (CacheFile). So it is if the registry takes longer than 2 s; the
// answer counts when it comes. A subject that is new and has no compatibility
// level of its own is given BACKWARD first, the rule that coupastream's schemas evolve by; a level that
// someone has set is left as it is, as are subjects that exist. The error is an *Error, or that of ctx.
func (r *Client) Register(ctx context.Context, subject, schema string) (int, error) {
	return r.shared(ctx, "register", idKey{subject, schema}, r.register)
}

// Lookup gives the id of a schema that must be registered under the
// subject already (auto.register.schemas=false). It changes nothing
// in the registry. The error is an *Error, or that of ctx.
func (r *Client) Lookup(ctx context.Context, subject, schema string) (int, error) {
	return r.shared(ctx, "lookup", idKey{subject, schema}, func(ctx context.Context, k idKey) (int, error) {
		id, err := r.lookup(ctx, k)
		return id, explain(k.subject, notRegistered, err)
	})
}

// shared answers from memory or does the work once for all who ask at the same time. The work
// does not end with the one who happened to ask first, so it has its own time limit. The file
// is written by those who wait for the answer: nothing touches it once they have ended.
func (r *Client) shared(ctx context.Context, verb string, k idKey, work func(context.Context, idKey) (int, error)) (int, error) {
	if id := r.known(k); id != 0 {
		r.kept.put(k, id)
		return id, nil
	}
	done := r.flight.DoChan(verb+"\x00"+k.subject+"\x00"+k.schema, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTime)
		defer cancel()
		id, err := work(own, k)
		if err != nil {
			return r.fallBack(k, err)
		}
		r.remember(k, id)
		return id, nil
	})
	id := r.kept.find(k)
	var enough <-chan time.Time
	if id != 0 {
		enough = time.After(r.patience())
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-enough:
		r.noteSilence()
		r.suspect()
		r.log.Warn("the schema registry takes long to answer; the schema's id of an earlier start is used", "subject", k.subject, "id", id)
		return id, nil
	case answer := <-done:
		if answer.Err != nil {
			return 0, answer.Err
		}
		id = answer.Val.(int)
		r.kept.put(k, id)
		return id, nil
	}
}

// fallBack is what was given before, if the registry can't be asked now. An id that
// the registry has shown to be wrong is none of that.
func (r *Client) fallBack(k idKey, err error) (int, error) {
	if !isAway(err) {
		return 0, err
	}
	r.suspect()
	id := r.resume(k)
	if id == 0 {
		return 0, err
	}
	r.log.Warn("the schema registry can't be asked; the id that it gave the schema before is used", "subject", k.subject, "id", id, "error", err)
	return id, nil
}

// patience is how long an answer is waited for that can be done without.
func (r *Client) patience() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.silent) < silentFor {
		return 0
	}
	return keptPatience
}

func (r *Client) noteSilence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = time.Now()
}

// register looks first, so that a schema that is there already is found without the right to write.
func (r *Client) register(ctx context.Context, k idKey) (int, error) {
	id, err := r.lookup(ctx, k)
	if err == nil {
		return id, nil
	}
	if statusOf(err) != http.StatusNotFound {
		return 0, explain(k.subject, readSubject, err)
	}
	if codeOf(err) != sr.ErrSchemaNotFound.Code { // the subject is not there either
		if err := r.protect(ctx, k.subject); err != nil {
			return 0, err
		}
	}
	id, err = r.client.RegisterSchema(ctx, k.subject, k.document(), -1, -1)
	return id, explain(k.subject, registerSchema, checkID(id, err))
}

func (r *Client) lookup(ctx context.Context, k idKey) (int, error) {
	found, err := r.client.LookupSchema(ctx, k.subject, k.document())
	return found.ID, checkID(found.ID, err)
}

// protect gives a new subject the level BACKWARD unless it has one of its own, which may
// be set before the first schema. Registries answer 404 (40408) where there is none.
func (r *Client) protect(ctx context.Context, subject string) error {
	own := r.client.Compatibility(ctx, subject)[0]
	if own.Err == nil {
		return nil
	}
	if statusOf(own.Err) != http.StatusNotFound {
		return explain(subject, readLevel, own.Err)
	}
	set := r.client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackward}, subject)[0]
	// Apicurio's answer where another worker has set it meanwhile
	if statusOf(set.Err) == http.StatusConflict {
		return explain(subject, readLevel, r.client.Compatibility(ctx, subject)[0].Err)
	}
	return explain(subject, setLevel, set.Err)
}

// checkID refuses an answer without an id, which something that is no
// registry gave, and an id that the framing's four bytes can't hold.
func checkID(id int, err error) error {
	switch {
	case err == nil && id <= 0:
		return errNoID
	case err == nil && id > math.MaxInt32:
		return fmt.Errorf("%w: %d", errLargeID, id)
	}
	return err
}
