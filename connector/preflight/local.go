package preflight

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/config"
)

// connectTimeout bounds connecting to a listener or a webhook.
const connectTimeout = 5 * time.Second

// local tries what is on this machine, and whether webhooks can be reached.
func (t *trial) local(ctx context.Context) {
	for _, listener := range t.Settings.Listeners {
		t.listener(ctx, listener)
	}
	t.stateDir()
	for _, u := range t.webhooks() {
		t.webhook(ctx, u)
	}
}

// listener tries whether an address of the REST API is free. A worker
// that listens there already will have to end before the next one starts.
func (t *trial) listener(ctx context.Context, listener string) {
	check := "listener " + listener
	u, err := url.Parse(listener)
	if err != nil {
		t.wrong(check, "not a URL", "write http://host:port")
		return
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", u.Host)
	switch {
	case err == nil:
		_ = l.Close()
		t.ok(check, "free")
	case t.worker(ctx, listener):
		t.ok(check, "a worker answers there; it has to end before another one starts")
	default:
		t.wrong(check, err.Error(), "give listeners another host:port, or end what listens there")
	}
}

// worker tells whether a worker answers at a listener: it says ok to whether it lives, whoever asks. Its
// certificate says nothing here: only its port is asked after.
func (t *trial) worker(ctx context.Context, listener string) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, listener+"/livez", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK
}

// leastSpace is too little for the local stores of any tenant worth the name.
const leastSpace = 100 << 20

// stateDir writes and syncs a file in state.dir, or in the folder above where that is to be made.
func (t *trial) stateDir() {
	const check, remedy = "state.dir", "give a folder of a local disk that this user may write to"
	folder := t.Settings.StateDir
	where := folder
	for _, err := os.Stat(where); errors.Is(err, os.ErrNotExist) && filepath.Dir(where) != where; _, err = os.Stat(where) {
		where = filepath.Dir(where)
	}
	took, err := syncTime(where)
	if err != nil {
		t.wrong(check, err.Error(), remedy)
		return
	}
	detail := fmt.Sprintf("%s can be written to, fsync takes %.1f ms", folder, float64(took)/float64(time.Millisecond))
	if where != folder {
		detail = fmt.Sprintf("%s is to be made in %s, where fsync takes %.1f ms", folder, where, float64(took)/float64(time.Millisecond))
	}
	free, known := freeBytes(where)
	switch {
	case known && free < leastSpace:
		t.wrong(check, fmt.Sprintf("%s has %d MiB left", where, free>>20), "make room, or name another folder")
	case known:
		t.ok(check, fmt.Sprintf("%s, %.1f GiB are free", detail, float64(free)/(1<<30)))
	default:
		t.ok(check, detail)
		t.notTried("space of state.dir", "this system is not asked for it")
	}
}

// syncs is how often a file is written and synced; the median counts.
const syncs = 5

// syncTime is how long a folder's disk takes for 4 KiB to be safe.
func syncTime(folder string) (median time.Duration, err error) {
	f, err := os.CreateTemp(folder, ".coupastream-validate-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var took []time.Duration
	for range syncs {
		began := time.Now()
		if _, err = f.Write(make([]byte, 4<<10)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[syncs/2], nil
}

// webhooks are the hosts that notifications go to, each once.
func (t *trial) webhooks() (all []*url.URL) {
	var hosts []string
	for _, n := range t.notified() {
		u, err := url.Parse(n.WebhookURL)
		if err != nil || u.Host == "" || slices.Contains(hosts, u.Scheme+u.Host) {
			continue
		}
		hosts, all = append(hosts, u.Scheme+u.Host), append(all, u)
	}
	return all
}

// notified are the worker's notifications and those of each connector over them.
func (t *trial) notified() []config.Notifications {
	all := []config.Notifications{t.Settings.Notifications}
	for _, c := range t.Connectors {
		all = append(all, c.Notifications.Over(t.Settings.Notifications))
	}
	return all
}

// webhook connects, and sends nothing: who takes events may take any request for one.
// What stands behind the host may be a secret.
func (t *trial) webhook(ctx context.Context, u *url.URL) {
	check := "webhook " + u.Host
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || proxy != nil {
		t.notTried(check, "a proxy stands between, and only an event would show whether it lets it through")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if u.Port() != "" {
		port = u.Port()
	}
	dial := new(net.Dialer).DialContext
	if u.Scheme == "https" {
		dial = new(tls.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		t.failed(check, err, "check the host of notifications.webhook.url, and that this machine may reach it")
		return
	}
	_ = conn.Close()
	t.ok(check, "can be reached; no event is sent")
}
