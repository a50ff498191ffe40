package rest

import (
	"slices"
	"strings"
)

// contractRoutes describe topics to those who read them.
func (a *API) contractRoutes() []route {
	return []route{
		{method: "GET", path: connectorPath + "/contract", do: describing(a, a.reader.Contract)},
		{method: "GET", path: connectorPath + "/schemas", do: describing(a, a.reader.Schemas)},
	}
}

// describing tells something of a connector's topics, or of those of the objects that are asked for.
func describing[T any](a *API, tell func(name string, objects []string) (T, error)) func(*request) (*answer, error) {
	return func(r *request) (*answer, error) {
		name, objects := r.path["name"], r.URL.Query()["object"]
		c, err := a.reader.Connector(name)
		if err != nil {
			return nil, a.failed(err, name, notFound)
		}
		for _, object := range objects {
			if all := objectsOf(c); !slices.Contains(all, object) {
				return nil, bad("The connector has no object %q; it has %s", object, strings.Join(all, ", "))
			}
		}
		told, err := tell(name, objects)
		if err != nil {
			return nil, a.failed(err, name, notFound)
		}
		return ok(told)
	}
}
