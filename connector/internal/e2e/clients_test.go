//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// clientsOfConnect has clients of Kafka Connect that are none of ours make their whole round
// against two workers of one group: what is done through one is seen through the other,
// whichever of them runs the connector.
func (p *parts) clientsOfConnect(t *testing.T) {
	if err := command("./rounds.sh").Run(); err != nil {
		t.Fatal(err)
	}
	group := "clients" + p.run
	var urls []string
	for i := range 2 {
		base := filepath.Join(p.dir, fmt.Sprint(group, "-worker", i))
		url := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
		write(t, base+".json", map[string]string{
			"bootstrap.servers": p.bootstrap, "schema.registry.url": p.registry, "group.id": group, "state.dir": base + "-state", "listeners": url,
			"topic.creation.default.replication.factor": "1",
		})
		w := launchWith(t, []string{"COUPA_SECRET=e2e-secret"}, base, p.binary, "run", base+".json")
		urls = append(urls, url)
		if err := await(t.Context(), "the worker", time.Minute, func() error {
			if !w.running() {
				return errEnded
			}
			return healthy(url)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i, client := range []string{"kafka-connect-py", "kafka-connect-api", "cloudhut", "go-kafka", "kafka-connect-client", "sourcelab", "datahub"} {
		t.Run(client, func(t *testing.T) {
			if client == "datahub" {
				nightly(t)
			}
			tenant := p.tenant(t, fmt.Sprint("client", i), "--objects", "suppliers,users", "--rows", "50", "--changes-per-second", "1")
			config, err := json.Marshal(map[string]string{
				"connector.class": "CoupaSource", "tenant": tenant.name, "coupa.url": tenant.url, "coupa.client.id": tenant.clientID, "coupa.client.secret": "${env:COUPA_SECRET}",
				"coupa.objects": "suppliers, users", "topic.template": "${tenant}.${object}", "poll.interval.ms": "1000",
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := command("./rounds.sh", client, urls[i%2], urls[1-i%2], tenant.name, string(config)).Run(); err != nil {
				t.Error(err)
			}
		})
	}
}

// healthy asks /health.
func healthy(url string) error {
	resp, err := http.Get(url + "/health")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/health: %s", resp.Status)
	}
	return nil
}
