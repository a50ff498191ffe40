package rest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
)

func validated(t *testing.T, cfg string) configInfos {
	t.Helper()
	a := newFake(t).api(t)
	rec := ask(a, "PUT", "/connector-plugins/CoupaSource/config/validate", cfg)
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if err := describe(t).check("PUT", "/connector-plugins/{plugin}/config/validate", rec); err != nil {
		t.Error(err)
	}
	var infos configInfos
	if err := json.Unmarshal(rec.Body.Bytes(), &infos); err != nil {
		t.Fatal(err)
	}
	return infos
}

func (i configInfos) of(name string) configInfo {
	at := slices.IndexFunc(i.Configs, func(c configInfo) bool { return c.Definition.Name == name })
	if at < 0 {
		return configInfo{}
	}
	return i.Configs[at]
}

func TestAValidConfigurationHasEveryKeyAndNoErrors(t *testing.T) {
	infos := validated(t, `{"name":"acme","tasks.max":3,`+acmeConfig+`}`)
	if infos.Name != "CoupaSource" || infos.ErrorCount != 0 || len(infos.Configs) != len(config.ConnectorKeys()) {
		t.Errorf("%s, %d errors, %d keys", infos.Name, infos.ErrorCount, len(infos.Configs))
	}
	if want := []string{"Common", "Coupa", "Mapping", "Notifications", "Polling", "Records", "Error Handling"}; !slices.Equal(infos.Groups, want) {
		t.Errorf("groups %q", infos.Groups)
	}
	order := map[string]int{}
	for _, c := range infos.Configs {
		order[*c.Definition.Group]++
		if c.Definition.Order != order[*c.Definition.Group] || c.Value.Name != c.Definition.Name || !c.Value.Visible || len(c.Value.Errors) > 0 {
			t.Errorf("%+v", c)
		}
	}
	for name, want := range map[string]string{"tasks.max": "3", "poll.interval.ms": "auto", "poll.rate.share": "0.2", "coupa.client.secret": "[hidden]", "coupa.url": "https://acme.coupahost.com"} {
		if got := infos.of(name).Value.Value; got == nil || *got != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	if got := infos.of("tenant").Value.Value; got != nil {
		t.Errorf("tenant: %s", *got)
	}
	if got := infos.of("envelope").Value.Recommended; !slices.Equal(got, []string{"none", "debezium"}) {
		t.Errorf("envelope: %q", got)
	}
	if got := infos.of("deletes").Value.Recommended; slices.Contains(got, "no such") {
		t.Errorf("deletes: %q", got)
	}
}

func TestWhatIsWrongStandsAtItsKey(t *testing.T) {
	infos := validated(t, `{"tasks.max":"zero","coupa.client.secret":"planted","poll.intervall.ms":"planted","object.invoices.poll.interval.ms":"often",
		"object.users.overlap.ms":"1000","envelope":null,"coupa.url":"https://elsewhere.example"}`)
	for name, want := range map[string]string{
		"name":                             `Missing required configuration "name" which has no default value.`,
		"tasks.max":                        "Invalid value zero for configuration tasks.max: not a whole number",
		"coupa.client.id":                  `Missing required configuration "coupa.client.id" which has no default value.`,
		"coupa.client.secret":              "Invalid value [hidden] for configuration coupa.client.secret: is written out",
		"poll.intervall.ms":                "Invalid configuration poll.intervall.ms: unknown key; the nearest one is poll.interval.ms",
		"object.invoices.poll.interval.ms": "Invalid value often for configuration object.invoices.poll.interval.ms",
		"envelope":                         "Null value can not be supplied",
		"coupa.url":                        "Invalid value https://elsewhere.example for configuration coupa.url",
	} {
		if got := infos.of(name).Value.Errors; len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
	if got := infos.of("object.users.overlap.ms"); got.Value.Value == nil || *got.Value.Value != "1000" || len(got.Value.Errors) > 0 {
		t.Errorf("%+v", got)
	}
	if infos.ErrorCount != 8 {
		t.Errorf("%d errors", infos.ErrorCount)
	}
	text, err := json.Marshal(infos)
	if err != nil || strings.Contains(string(text), "planted") {
		t.Errorf("%v, or a secret is shown: %s", err, text)
	}
}

func TestKeysOfThePluginAreTheDeclaredOnes(t *testing.T) {
	rec := ask(newFake(t).api(t), "GET", "/connector-plugins/CoupaSource/config?version=latest", "")
	var keys []keyInfo
	if err := json.Unmarshal(rec.Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	if err := describe(t).check("GET", "/connector-plugins/{plugin}/config", rec); err != nil {
		t.Error(err)
	}
	for i, k := range config.ConnectorKeys() {
		if keys[i].Name != k.Name || keys[i].Required != k.Required || *keys[i].Group == "" {
			t.Errorf("%+v", keys[i])
		}
	}
}
