// Command rounds has a Kafka Connect client in Go make its round against
// two workers of one group: rounds cloudhut|go-kafka A B NAME CONFIG.
//
// What is asked of worker A is looked for at worker B, and the other way round.
// It ends with status 1 where an answer is not what the client makes of
// Connect's. It is a module of its own, since the program needs neither client.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"time"

	cloudhut "github.com/cloudhut/connect-client"
	gokafka "github.com/go-kafka/connect"
)

func main() {
	log.SetFlags(0)
	which, a, b, name := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	var config map[string]string
	must(json.Unmarshal([]byte(os.Args[5]), &config))
	echoed := maps.Clone(config)
	echoed["name"] = name
	switch which {
	case "cloudhut":
		roundOfCloudhut(a, b, name, config, echoed)
	case "go-kafka":
		roundOfGoKafka(a, b, name, config, echoed)
	default:
		log.Fatalf("there is no client %q", which)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(holds bool, format string, args ...any) {
	if !holds {
		log.Fatalf(format, args...)
	}
}

// until waits for what Connect, too, lets come a little later.
func until(what string, holds func() (bool, any)) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		ok, seen := holds()
		if ok {
			return
		}
		check(time.Now().Before(end), "%s: %+v", what, seen)
	}
}

func roundOfCloudhut(urlA, urlB, name string, config, echoed map[string]string) {
	ctx := context.Background()
	a, b := cloudhut.NewClient(cloudhut.WithHost(urlA)), cloudhut.NewClient(cloudhut.WithHost(urlB))
	anything := map[string]any{}
	for k, v := range config {
		anything[k] = v
	}
	root, err := a.GetRoot(ctx)
	must(err)
	check(root.Version >= "4" && root.KafkaClusterID != "", "%+v", root)
	plugins, err := b.GetConnectorPlugins(ctx)
	must(err)
	check(len(plugins) == 1 && plugins[0].Class == "CoupaSource", "%+v", plugins)
	named := maps.Clone(anything)
	named["name"] = name
	valid, err := b.PutValidateConnectorConfig(ctx, "CoupaSource", cloudhut.ValidateConnectorConfigOptions{Config: named})
	must(err)
	check(valid.ErrorCount == 0 && len(valid.Configs) > 20, "%+v", valid)
	made, err := a.CreateConnector(ctx, cloudhut.CreateConnectorRequest{Name: name, Config: anything})
	must(err)
	check(reflect.DeepEqual(made.Config, echoed), "%+v", made)
	_, err = a.CreateConnector(ctx, cloudhut.CreateConnectorRequest{Name: name, Config: anything})
	check(err != nil, "a connector was made twice")
	states := func(c *cloudhut.Client, connector string, tasks ...string) func() (bool, any) {
		return func() (bool, any) {
			s, err := c.GetConnectorStatus(ctx, name)
			if err != nil {
				return false, err
			}
			var all []string
			for _, t := range s.Tasks {
				all = append(all, t.State)
			}
			return s.Connector.State == connector && slices.Equal(all, tasks), s
		}
	}
	until("running", states(b, "RUNNING", "RUNNING", "RUNNING"))
	got, err := b.GetConnectorConfig(ctx, name)
	must(err)
	check(reflect.DeepEqual(got, echoed), "%+v", got)
	all, err := b.ListConnectorsExpanded(ctx)
	must(err)
	check(all[name].Info.Type == "source" && all[name].Status.Connector.State == "RUNNING", "%+v", all)
	must(b.PauseConnector(ctx, name))
	until("paused", states(a, "PAUSED", "PAUSED", "PAUSED"))
	must(a.ResumeConnector(ctx, name))
	until("resumed", states(b, "RUNNING", "RUNNING", "RUNNING"))
	for _, c := range []*cloudhut.Client{a, b} {
		must(c.RestartConnector(ctx, name, cloudhut.RestartConnectorOptions{}))
		must(c.RestartConnector(ctx, name, cloudhut.RestartConnectorOptions{IncludeTasks: true, OnlyFailed: true}))
		must(c.RestartConnectorTask(ctx, name, 0))
	}
	topics, err := b.GetConnectorTopics(ctx, name)
	must(err)
	check(len(topics[name].Topics) == 2, "%+v", topics)
	must(b.ResetConnectorTopics(ctx, name))
	must(a.StopConnector(ctx, name))
	until("stopped", states(b, "STOPPED"))
	must(b.PauseConnector(ctx, name))
	until("paused after a stop, without tasks", states(a, "PAUSED"))
	must(a.ResetConnectorTopics(ctx, name))
	until("topics that were forgotten", func() (bool, any) {
		topics, err := b.GetConnectorTopics(ctx, name)
		return err == nil && len(topics[name].Topics) == 0, topics
	})
	anything["tasks.max"] = "7"
	changed, err := b.PutConnectorConfig(ctx, name, cloudhut.PutConnectorConfigOptions{Config: anything})
	must(err)
	check(changed.Config["tasks.max"] == "7", "%+v", changed)
	must(a.DeleteConnector(ctx, name))
	until("deleted", func() (bool, any) {
		names, err := b.ListConnectors(ctx)
		return err == nil && !slices.Contains(names, name), names
	})
}

func roundOfGoKafka(urlA, urlB, name string, config, echoed map[string]string) {
	a, b := gokafka.NewClient(urlA), gokafka.NewClient(urlB)
	made := &gokafka.Connector{Name: name, Config: config}
	answered, err := a.CreateConnector(made)
	must(err)
	check(answered.StatusCode == http.StatusCreated && reflect.DeepEqual(map[string]string(made.Config), echoed), "%+v", made)
	states := func(c *gokafka.Client, connector string, tasks int) func() (bool, any) {
		return func() (bool, any) {
			s, _, err := c.GetConnectorStatus(name)
			if err != nil {
				return false, err
			}
			same := s.Connector.State == connector && len(s.Tasks) == tasks
			for _, t := range s.Tasks {
				same = same && t.State == connector
			}
			return same, s
		}
	}
	until("running", states(b, "RUNNING", 2))
	got, _, err := b.GetConnectorConfig(name)
	must(err)
	check(reflect.DeepEqual(map[string]string(got), echoed), "%+v", got)
	one, _, err := b.GetConnector(name)
	must(err)
	check(len(one.Tasks) == 2, "%+v", one)
	tasks, _, err := b.GetConnectorTasks(name)
	must(err)
	check(len(tasks) == 2 && tasks[1].ID.ID == 1 && tasks[1].Config["object"] != "", "%+v", tasks)
	_, err = b.PauseConnector(name)
	must(err)
	until("paused", states(a, "PAUSED", 2))
	_, err = a.ResumeConnector(name)
	must(err)
	until("resumed", states(b, "RUNNING", 2))
	for _, c := range []*gokafka.Client{a, b} {
		_, err = c.RestartConnector(name)
		must(err)
	}
	config["tasks.max"] = "7"
	changed, _, err := b.UpdateConnectorConfig(name, config)
	must(err)
	check(changed.Config["tasks.max"] == "7", "%+v", changed)
	_, err = a.DeleteConnector(name)
	must(err)
	until("deleted", func() (bool, any) {
		names, _, err := b.ListConnectors()
		return err == nil && !slices.Contains(names, name), names
	})
	_, _, err = b.GetConnectorStatus(name)
	check(err != nil, "a connector that was deleted has a status")
	fmt.Println("done")
}
