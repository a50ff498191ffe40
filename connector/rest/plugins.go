package rest

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/connector/config"
)

// pluginRoutes tell of the one connector plugin, and check configurations.
func (a *API) pluginRoutes() []route {
	return []route{
		{method: "GET", path: "/connector-plugins", do: a.plugins},
		{method: "GET", path: "/connector-plugins/{plugin}/config", do: a.pluginConfig},
		{method: "PUT", path: "/connector-plugins/{plugin}/config/validate", do: a.validate},
	}
}

type plugin struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	Version string `json:"version"`
}

// plugins lists the one connector. There are no transformations,
// predicates or converters, so connectorsOnly makes no difference.
func (a *API) plugins(*request) (*answer, error) {
	return ok([]plugin{{class, "source", a.o.Version}})
}

// keyInfo is Connect's ConfigKeyInfo.
type keyInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Required      bool     `json:"required"`
	Default       *string  `json:"default_value"`
	Importance    string   `json:"importance"`
	Documentation string   `json:"documentation"`
	Group         *string  `json:"group"`
	Order         int      `json:"order_in_group"`
	Width         string   `json:"width"`
	DisplayName   string   `json:"display_name"`
	Dependents    []string `json:"dependents"`
}

type valueInfo struct {
	Name        string   `json:"name"`
	Value       *string  `json:"value"`
	Recommended []string `json:"recommended_values"`
	Errors      []string `json:"errors"`
	Visible     bool     `json:"visible"`
}

type configInfo struct {
	Definition keyInfo   `json:"definition"`
	Value      valueInfo `json:"value"`
}

// configInfos is Connect's answer to a validation.
type configInfos struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []configInfo `json:"configs"`
}

// pluginConfig tells every key of a plugin.
func (a *API) pluginConfig(r *request) (*answer, error) {
	if !isClass(r.path["plugin"]) {
		return nil, &apiError{http.StatusNotFound, "Unknown plugin " + r.path["plugin"] + "."}
	}
	if v := r.URL.Query().Get("version"); v != "" && v != "latest" && v != a.o.Version {
		return nil, bad("Plugin %s not found that matches the version range [%s,%s], available versions: [%s]", class, v, v, a.o.Version)
	}
	return ok(keyInfos())
}

func keyInfos() []keyInfo {
	order := map[string]int{}
	var all []keyInfo
	for _, k := range config.ConnectorKeys() {
		order[k.Group]++
		all = append(all, keyInfoOf(k, order[k.Group]))
	}
	return all
}

func keyInfoOf(k config.Key, order int) keyInfo {
	info := keyInfo{
		Name: k.Name, Type: string(k.Type), Required: k.Required, Importance: string(k.Importance), Documentation: k.Doc,
		Group: &k.Group, Order: order, Width: "MEDIUM", DisplayName: k.Name, Dependents: []string{},
	}
	switch {
	case k.Default != "":
		info.Default = &k.Default
	case k.Derived != "":
		info.Documentation += " Default: " + k.Derived + "."
	}
	switch k.Type {
	case config.List:
		info.Width = "LONG"
	case config.Int, config.Long, config.Double, config.Boolean:
		info.Width = "SHORT"
	}
	return info
}

// validate answers with every key, its value and what is wrong
// with it. An invalid configuration is no error of the request.
func (a *API) validate(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	values, err := flat(members)
	if err != nil {
		return nil, err
	}
	cfg := map[string]string{}
	var problems config.Problems
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			problems = append(problems, config.Problem{Key: name, Message: "Null value can not be supplied as the configuration value."})
			continue
		}
		cfg[name] = *values[name]
	}
	given, found := cfg["connector.class"]
	switch {
	case !isClass(r.path["plugin"]):
		return nil, noSuchClass(r.path["plugin"])
	case found && !isClass(given):
		return nil, bad("Included connector type %s does not match request type %s", given, r.path["plugin"])
	}
	if name, given := cfg["name"]; given && strings.TrimSpace(name) == "" {
		problems = append(problems, config.Problem{Key: "name", Message: "String may not be empty"})
	}
	if found, invalid := errors.AsType[config.Problems](a.changer.Validate(cfg)); invalid {
		problems = append(problems, found...)
	}
	return ok(infosOf(cfg, problems))
}

// infosOf puts every problem to its key. A key that there is not has an entry of its
// own if something is wrong with it, as has an override for one object that is given.
func infosOf(cfg map[string]string, problems config.Problems) configInfos {
	infos := configInfos{Name: class, Groups: []string{}, Configs: []configInfo{}}
	if given, found := cfg["connector.class"]; found {
		infos.Name = given
	}
	wrong := map[string][]string{}
	for _, p := range problems {
		if p.Key == "" { // of the configuration as a whole
			p.Key = "name"
		}
		if said := wording(p, cfg); !slices.Contains(wrong[p.Key], said) {
			wrong[p.Key] = append(wrong[p.Key], said)
			infos.ErrorCount++
		}
	}
	add := func(k config.Key, order int) {
		if !slices.Contains(infos.Groups, k.Group) {
			infos.Groups = append(infos.Groups, k.Group)
		}
		infos.Configs = append(infos.Configs, configInfo{keyInfoOf(k, order), valueOf(k, cfg, wrong[k.Name])})
		delete(wrong, k.Name)
	}
	order := map[string]int{}
	for _, k := range config.ConnectorKeys() {
		order[k.Group]++
		add(k, order[k.Group])
	}
	others := slices.Collect(maps.Keys(wrong))
	for name := range cfg {
		if k, declared := config.LookupConnectorKey(name); declared && k.PerObject && strings.HasPrefix(name, "object.") {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for i, name := range slices.Compact(others) {
		k, declared := config.LookupConnectorKey(name)
		if !declared {
			// it may be a mistyped secret
			k = config.Key{Name: name, Type: config.Password, Importance: config.Low, Doc: "Not a key of " + class + "."}
		}
		k.Group, k.Default, k.Required = "Other", "", false
		add(k, i+1)
	}
	return infos
}

func valueOf(k config.Key, cfg map[string]string, wrong []string) valueInfo {
	v := valueInfo{Name: k.Name, Recommended: append([]string{}, k.Values...), Errors: wrong, Visible: true}
	if wrong == nil {
		v.Errors = []string{}
	}
	given, found := cfg[k.Name]
	switch {
	case found && k.Secret():
		hidden := "[hidden]"
		v.Value = &hidden
	case found:
		v.Value = &given
	case k.Default != "":
		v.Value = &k.Default
	}
	return v
}
