package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReferencesAreReplaced(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "p.properties"), "a.b = one\\\n   two\na.b = last\nlike.a.reference = ${env:COUPA_ID}\n")
	write(t, filepath.Join(folder, "secret"), "  mounted\n")
	t.Chdir(folder)
	for _, test := range []struct{ name, value, want string }{
		{"a value without references stays", "plain $ {x} value", "plain $ {x} value"},
		{"an environment variable", "${env:COUPA_ID}", "client"},
		{"several references and text around them", "a${env:COUPA_ID}b${env:COUPA_ID}c", "aclientbclientc"},
		{"the last one of a file's equal keys, as Java has it", "${file:p.properties:a.b}", "last"},
		{"what a reference gives is not resolved again", "${file:p.properties:like.a.reference}", "${env:COUPA_ID}"},
		{"a file of a folder, without the line break at its end", "${dir:.:secret}", "mounted"},
		{"an absolute path", "${dir:" + folder + ":secret}", "mounted"},
		{"placeholders of a topic template are no references", "coupa.${object}", "coupa.${object}"},
		{"a placeholder beside a reference", "${tenant}.${env:COUPA_ID}.${object}", "${tenant}.client.${object}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, f := resolve(test.value, env)
			if f != nil || got != test.want {
				t.Errorf("got %q (%v), want %q", got, f, test.want)
			}
		})
	}
}

func TestEchoKeepsReferencesAndHidesPlainSecrets(t *testing.T) {
	for _, test := range []struct{ name, secret, want string }{
		{"a reference is shown", "${env:COUPA_SECRET}", "${env:COUPA_SECRET}"},
		{"two references are shown", "${env:COUPA_SECRET}${env:COUPA_ID}", "${env:COUPA_SECRET}${env:COUPA_ID}"},
		{"a plain secret is hidden", "s3cret", "[hidden]"},
		{"a plain part hides the whole", "s3cret${env:COUPA_ID}", "[hidden]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConnector(minimal("coupa.client.secret", test.secret), env)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Echo()["coupa.client.secret"]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := c.Echo()["coupa.url"]; got != "https://acme.coupahost.com" {
				t.Errorf("coupa.url became %q", got)
			}
		})
	}
}

// TestNoSecretInProblems puts a secret where it can go wrong, under the right key and under mistyped ones.
func TestNoSecretInProblems(t *testing.T) {
	for _, raw := range []map[string]string{
		minimal("coupa.client.secret", "s3cret${nothing:x}"),
		minimal("coupa.client.secret", "s3cret${plain}"),
		minimal("coupa.client.secrets", "s3cret"),
		minimal("client_secret", "${env:NOT_SET}s3cret"),
		minimal("coupa.url", "https://user:s3cret@acme.coupahost.com"),
	} {
		_, err := ParseConnector(raw, env)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
}

// minimal is the smallest connector, with one key changed or added.
func TestOfAWebhooksAddressTheHostIsShown(t *testing.T) {
	for given, want := range map[string]string{
		"https://hooks.example.com/services/s3cret": "https://hooks.example.com/[hidden]",
		"https://hooks.example.com?key=s3cret":      "https://hooks.example.com/[hidden]",
		"https://hooks.example.com:8443":            "https://hooks.example.com:8443",
		"${env:COUPA_HOOK}":                         "${env:COUPA_HOOK}",
		"https://hooks.example.com/${env:COUPA_ID}": "[hidden]",
	} {
		c, err := ParseConnector(minimal("notifications.webhook.url", given), env)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Echo()["notifications.webhook.url"]; got != want {
			t.Errorf("%s is shown as %s", given, got)
		}
	}
}

func minimal(with ...string) map[string]string {
	raw := map[string]string{
		"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "id", "coupa.client.secret": "${env:COUPA_SECRET}",
	}
	for pair := range slices.Chunk(with, 2) {
		raw[pair[0]] = pair[1]
	}
	return raw
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzParsers: no text makes a parser panic, and what is accepted can be flattened.
func FuzzParsers(f *testing.F) {
	f.Add("name: acme\ncoupa.objects: [a, b]\n")
	f.Add(`{"name": "acme", "config": {"a": 1, "b": [true, null], "c": {}}}`)
	f.Add("a = b\\\n c\n# x\n! y\nk\\u0041 : v")
	f.Add("a: &x b\nc: *x\n? [q]\n: r\n")
	f.Add("<<: {a: b}\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []parser{parseYAML, parseJSON, parseProperties} {
			members, fault := parse([]byte(text))
			if fault != nil {
				continue
			}
			flat := flattener{doc: document{values: map[string]string{}}, lines: map[string]int{}, lists: listKeys()}
			flat.file(members)
			_, _ = ParseConnector(flat.doc.values, func(string) (string, bool) { return "", false })
		}
	})
}
