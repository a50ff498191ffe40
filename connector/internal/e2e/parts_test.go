//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// parts are what all scenarios of one run share. Scenarios keep
// apart by name: each has its own tenant, group and topics.
type parts struct {
	dir       string // for files and logs
	bootstrap string
	registry  string
	binary    string
	seed      uint64
	run       string   // in the names of this run, so that runs may share a broker
	rigDir    string   // of kafka.sh; "" when broker and registry are not ours
	rigPorts  []string // its environment
	brokers   int      // of the rig
	proxies   *proxies // before several of them

	topics *kadm.Client    // of crash scenes, to remove topics with
	always context.Context // of the whole run
}

// start builds the binary, with build tags if any, and the judge, and
// starts broker and registry, unless the environment names ready ones.
func start(tb testing.TB, tags string) *parts {
	tb.Helper()
	p := &parts{
		dir:       workDir(tb),
		bootstrap: os.Getenv("E2E_BOOTSTRAP"),
		registry:  os.Getenv("E2E_REGISTRY"),
		binary:    os.Getenv("E2E_BINARY"),
		brokers:   setting(tb, "E2E_BROKERS", 1, strconv.Atoi),
		seed:      seed(tb),
		run:       strconv.FormatInt(time.Now().Unix(), 36),
	}
	var g errgroup.Group
	g.Go(readers)
	if p.binary == "" {
		p.binary = filepath.Join(p.dir, "coupastream")
		g.Go(func() error {
			return command("go", "build", "-tags", tags, "-o", p.binary, "github.com/coupastream/coupastream/cmd/coupastream").Run()
		})
	}
	if p.bootstrap == "" {
		g.Go(func() error { return p.startRig(tb) })
	}
	if err := g.Wait(); err != nil {
		tb.Fatalf("starting the parts: %v", err)
	}
	tb.Logf("kafka %s, registry %s, files %s", p.bootstrap, p.registry, p.dir)
	return p
}

// readers makes the programs that read the topics, once for all tests.
var readers = sync.OnceValue(func() error {
	var g errgroup.Group
	g.Go(func() error { return command("./java.sh", "judge").Run() })
	g.Go(func() error { return command("./java.sh", "unwrap").Run() })
	g.Go(func() error { return command("./consumer.sh").Run() })
	return g.Wait()
})

func (p *parts) startRig(tb testing.TB) error {
	kafka, registry, proxied := freePorts(tb, p.brokers), freePort(tb), freePorts(tb, p.brokers)
	var addresses []string
	for n := range p.brokers {
		addresses = append(addresses, local(kafka+2*n))
	}
	p.bootstrap = strings.Join(addresses, ",")
	p.registry = fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", registry)
	p.rigDir = filepath.Join(p.dir, "rig")
	p.rigPorts = []string{fmt.Sprintf("KAFKA_PORT=%d", kafka), fmt.Sprintf("REGISTRY_PORT=%d", registry)}
	if p.brokers > 1 {
		p.rigPorts = append(p.rigPorts, fmt.Sprintf("BROKERS=%d", p.brokers), fmt.Sprintf("PROXY_PORT=%d", proxied), "PROXY_PROTOCOL=SASL_PLAINTEXT",
			"BROKER_SETTINGS="+brokersSettings+"\n"+rightsSettings)
		p.proxies = newProxies(tb, proxied, p.brokers, local(registry))
	}
	tb.Cleanup(func() {
		if err := p.rig("down"); err != nil {
			tb.Errorf("kafka.sh down: %v", err)
		}
	})
	return p.rig("up")
}

// seeds are the brokers' addresses.
func (p *parts) seeds() []string { return strings.Split(p.bootstrap, ",") }

// rig has kafka.sh do something with the brokers or the registry
// of this run; of several brokers with those that have the numbers.
func (p *parts) rig(verb string, brokers ...string) error {
	cmd := command("./kafka.sh", append([]string{verb, p.rigDir}, brokers...)...)
	cmd.Env = append(os.Environ(), p.rigPorts...)
	cmd.Env = append(cmd.Env, "KAFKA_VERSION="+os.Getenv("E2E_KAFKA"))
	cmd.Env = append(cmd.Env, fmt.Sprintf("OWNER=%d", os.Getpid()))
	return cmd.Run()
}

// admin asks the broker about topics.
func (p *parts) admin(tb testing.TB) *kadm.Client {
	tb.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// workDir is E2E_WORK, or a temporary folder that goes with the test.
func workDir(tb testing.TB) string {
	if dir := os.Getenv("E2E_WORK"); dir != "" {
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			tb.Fatal(err)
		}
		return dir
	}
	return tb.TempDir()
}

// seed is E2E_SEED or a new one, printed so that a run can be had again.
func seed(tb testing.TB) uint64 {
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("E2E_SEED"), strconv.FormatUint(rand.Uint64()>>32, 10)), 10, 64)
	if err != nil {
		tb.Fatalf("E2E_SEED: %v; give a whole number", err)
	}
	tb.Logf("E2E_SEED=%d", n)
	return n
}

// freePort finds a port that is free now, as its next one is, below those that the system hands to clients.
func freePort(tb testing.TB) int { return freePorts(tb, 1) }

// freePorts finds n pairs of them in a row, and gives the first port.
func freePorts(tb testing.TB, n int) int {
	tb.Helper()
next:
	for range 200 {
		first := 20000 + 2*rand.IntN(5000)
		for port := first; port < first+2*n; port += 2 {
			if _, given := ports.LoadOrStore(port, true); given || !free(port) || !free(port+1) {
				continue next
			}
		}
		return first
	}
	tb.Fatal("no free port between 20000 and 30000")
	return 0
}

var ports sync.Map // that were given already, to tests that run side by side

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// command is a child whose output goes to the test's own.
func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

// setting is a number or a duration from the environment.
func setting[T any](tb testing.TB, name string, fallback T, parse func(string) (T, error)) T {
	tb.Helper()
	text := strings.TrimSpace(os.Getenv(name))
	if text == "" {
		return fallback
	}
	v, err := parse(text)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return v
}
