package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hosting is a worker whose file has some keys.
func hosting(t *testing.T, keys ...string) *Worker {
	t.Helper()
	raw := map[string]string{"bootstrap.servers": "localhost:9092", "schema.registry.url": "http://localhost:8081"}
	for i := 0; i < len(keys); i += 2 {
		raw[keys[i]] = keys[i+1]
	}
	w, err := ParseWorker(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAConnectorOverRESTReachesWhatTheWorkerAllows(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"open", "shut"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, name, "p.properties"), "key = 0123456789abcdef\n")
	}
	if err := os.Symlink(filepath.Join(folder, "shut", "p.properties"), filepath.Join(folder, "open", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "shut", "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	// its ".." is shut
	if err := os.Symlink(filepath.Join(folder, "shut", "deep"), filepath.Join(folder, "open", "in")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, "open"), filepath.Join(folder, "mount")); err != nil {
		t.Fatal(err)
	}
	files := func(paths string) *Worker {
		return hosting(t, "config.providers.file.param.allowed.paths", paths, "config.providers.dir.param.allowed.paths", paths)
	}
	open := files(filepath.Join(folder, "open"))
	const noFile, noDir = "add it to that in the worker's file", "config.providers.dir.param.allowed.paths"
	for _, c := range []struct {
		name       string
		worker     *Worker
		key, value string
		want       string // part of the refusal; "": taken
	}{
		{"a variable of Coupa's", hosting(t), "coupa.client.secret", "${env:COUPA_SECRET}", ""},
		{"a variable of the worker's own", hosting(t), "coupa.client.secret", "${env:KAFKA_PASSWORD}", "may not read the environment variable KAFKA_PASSWORD; give one that matches config.providers.env.param.allowlist.pattern (COUPA(STREAM)?_.*)"},
		{"a variable that the pattern matches in part", hosting(t), "coupa.client.secret", "${env:MY_COUPA_SECRET}", "may not read the environment variable"},
		{"a variable that the worker's file allows", hosting(t, "config.providers.env.param.allowlist.pattern", "KAFKA_.*"), "coupa.client.secret", "${env:KAFKA_PASSWORD}", ""},
		{"the second of two references", hosting(t), "coupa.client.secret", "${env:COUPA_SECRET}${env:KAFKA_PASSWORD}", "may not read the environment variable KAFKA_PASSWORD"},
		{"a file", open, "coupa.client.secret", "${file:" + folder + "/open/p.properties:key}", ""},
		{"a file elsewhere", open, "coupa.client.secret", "${file:" + folder + "/shut/p.properties:key}", noFile},
		{"a file that is not there, elsewhere, is not told from one that is", open, "coupa.client.secret", "${file:" + folder + "/shut/none:key}", noFile},
		{"a file above a link", open, "coupa.client.secret", "${file:" + folder + "/open/in/../p.properties:key}", noFile},
		{"a folder above a link", open, "coupa.client.secret", "${dir:" + folder + "/open/in/..:p.properties}", noDir},
		{"a file above", open, "coupa.client.secret", "${file:" + folder + "/open/../shut/p.properties:key}", noFile},
		{"a link that leads away", open, "coupa.client.secret", "${file:" + folder + "/open/link:key}", noFile},
		{"a folder whose name begins alike", files(folder + "/op"), "coupa.client.secret", "${file:" + folder + "/open/p.properties:key}", noFile},
		{"a relative path", open, "coupa.client.secret", "${file:open/p.properties:key}", noFile},
		{"a mounted folder that is a link", files(folder + "/mount"), "coupa.client.secret", "${file:" + folder + "/mount/p.properties:key}", ""},
		{"everything", files("/"), "coupa.client.secret", "${file:" + folder + "/shut/p.properties:key}", ""},
		{"a file of a folder", open, "coupa.client.secret", "${dir:" + folder + "/open:p.properties}", ""},
		{"a file of a folder elsewhere", open, "coupa.client.secret", "${dir:" + folder + "/shut:p.properties}", noDir},
		{"a link in a folder", open, "coupa.client.secret", "${dir:" + folder + "/open:link}", noDir},
		{"a folder where nothing is allowed", hosting(t), "coupa.client.secret", "${dir:/var/run/secrets/kubernetes.io/serviceaccount:token}", noDir},
		{"a plain secret", hosting(t), "coupa.client.secret", "s3cret", `coupa.client.secret = "[hidden]": is written out, and would be kept in the config topic; write a reference, e.g. ${env:COUPA_CLIENT_SECRET}`},
		{"a plain secret beside a reference", hosting(t), "coupa.client.secret", "s3cret${env:COUPA_SECRET}", "is written out"},
		{"a plain hash key", hosting(t), "mapping.hash.key", "s3cret-of-sixteen-bytes", "is written out"},
		{"the client's id by reference", hosting(t), "coupa.client.id", "${env:COUPA_ID}", ""},
		{"a secret shown as the tenant", hosting(t), "tenant", "${env:COUPA_SECRET}", "would show what it leads to"},
		{"a secret shown in a topic", hosting(t), "object.invoices.topic.template", "coupa.${env:COUPA_SECRET}", "would show what it leads to"},
		{"a webhook by reference", hosting(t, "egress.allowed.hosts", "hooks.example.com, *.coupahost.com"), "notifications.webhook.url", "${env:COUPA_HOOK}", ""},
		{"a webhook by reference to any host", hosting(t), "notifications.webhook.url", "${env:COUPA_HOOK}", `notifications.webhook.url = "${env:COUPA_HOOK}": `},
		{"a secret sent to a webhook", hosting(t, "egress.allowed.hosts", "hooks.example.com, *.coupahost.com"), "notifications.webhook.url", "https://hooks.example.com/${env:COUPA_SECRET}", "would show what it leads to"},
		{"a webhook of any host", hosting(t), "notifications.webhook.url", "https://hooks.example.com/s3cret?s3cret", `notifications.webhook.url = "https://hooks.example.com/[hidden]": `},
		{"a webhook that is none", hosting(t), "notifications.webhook.url", "hooks.example.com/s3cret", `notifications.webhook.url = "[hidden]": not an https URL`},
		{"a file as a mapping", hosting(t), "mapping.file", "/etc/passwd", "reads a file of the worker; give its content in mapping"},
		{"Coupa's hosts", hosting(t), "coupa.url", "https://acme.coupacloud.com", ""},
		{"any host", hosting(t), "coupa.url", "https://acme.example.com", "is none of egress.allowed.hosts (*.coupahost.com, *.coupacloud.com); give one of these, or list it there"},
		{"any host that is listed", hosting(t, "egress.allowed.hosts", "acme.example.com"), "coupa.url", "https://acme.example.com", ""},
		{"this machine, from this machine", hosting(t), "coupa.url", "http://127.0.0.1:8090", ""},
		{"this machine, from elsewhere", hosting(t, "listeners", "http://0.0.0.0:8083"), "coupa.url", "http://127.0.0.1:8090", "coupa.url.allow.private = true"},
		{"this machine, as one of two listeners is elsewhere", hosting(t, "listeners", "http://127.0.0.1:8083,http://:8084"), "coupa.url", "http://localhost:8090", "an address of this machine"},
		{"this machine, where the file says no", hosting(t, "coupa.url.allow.private", "false"), "coupa.url", "http://127.0.0.1:8090", "coupa.url.allow.private = true"},
		{"this machine, where the file says yes", hosting(t, "listeners", "http://:8083", "coupa.url.allow.private", "true"), "coupa.url", "http://127.0.0.1:8090", ""},
		{"the network", hosting(t), "coupa.url", "https://10.0.0.1", "an address of a private network"},
		{"the metadata service", hosting(t, "coupa.url.allow.private", "true"), "coupa.url", "https://169.254.169.254", "metadata service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := c.worker.ParseSubmitted(minimal(c.key, c.value), env)
			if err == nil && !made.Submitted {
				t.Error("nothing tells that it came over REST")
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v\nwant %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "from-the-environment") || len(err.(Problems)) != 1) {
				t.Errorf("a secret, or several problems of one value: %v", err)
			}
		})
	}
}

func TestAnOutlineNeedsNoSecrets(t *testing.T) {
	raw := minimal("coupa.client.id", "${env:GONE}", "coupa.client.secret", "${file:/gone:key}", "mapping.hash.key", "${env:GONE}", "notifications.webhook.url", "${env:GONE}",
		"notifications.webhook.secret", "${env:GONE}", "coupa.objects", "users, invoices")
	c := Outline(raw)
	if c == nil || c.Tenant != "acme" || len(c.Objects) != 2 || c.Objects[1].Topic != "coupa.invoices" || c.Raw["coupa.client.secret"] != "${file:/gone:key}" {
		t.Errorf("%+v", c)
	}
	if c != nil && c.Notifications.WebhookURL+string(c.Notifications.WebhookSecret) != "" {
		t.Errorf("%+v", c.Notifications)
	}
	there := filepath.Join(t.TempDir(), "there")
	write(t, there, "objects: {}\n")
	for key, value := range map[string]string{"tenant": "${dir:" + filepath.Dir(there) + ":there}", "topic.template": "${env:COUPA_SECRET}", "mapping.file": there} {
		if c := Outline(minimal(key, value)); c != nil {
			t.Errorf("%s = %s: %+v", key, value, c)
		}
	}
	for key, value := range map[string]string{"tenant": "${env:GONE}", "coupa.objects": "nothing", "coupa.url": "no address"} {
		if c := Outline(minimal(key, value)); c != nil {
			t.Errorf("%s = %s: %+v", key, value, c)
		}
	}
}

// TestAConnectorOfAFileIsTheOperatorsOwn: whoever writes it may read the same files himself.
func TestAConnectorOfAFileIsTheOperatorsOwn(t *testing.T) {
	raw := minimal("coupa.client.secret", "s3cret")
	raw["coupa.url"], raw["tenant"] = "https://10.0.0.1", "${env:KAFKA_PASSWORD}"
	if _, err := ParseConnector(raw, env); err != nil {
		t.Error(err)
	}
}
