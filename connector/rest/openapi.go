package rest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

// description is the OpenAPI description of every route; a test holds the two together.
//
//go:embed openapi.yaml
var description []byte

// Description is the OpenAPI description as JSON.
func Description() ([]byte, error) { return asJSON() }

var asJSON = sync.OnceValues(func() ([]byte, error) {
	var tree any
	if err := yaml.Unmarshal(description, &tree); err != nil {
		return nil, fmt.Errorf("the OpenAPI description: %w", err)
	}
	return json.Marshal(tree)
})

// descriptionRoutes tell what all the others are.
func (a *API) descriptionRoutes() []route {
	return []route{
		{method: "GET", path: "/openapi.json", do: a.openAPIJSON},
		{method: "GET", path: "/openapi.yaml", do: a.openAPIYAML, text: true},
	}
}

func (a *API) openAPIJSON(*request) (*answer, error) {
	text, err := Description()
	if err != nil {
		return nil, err
	}
	return ok(text)
}

func (a *API) openAPIYAML(*request) (*answer, error) {
	return &answer{status: 200, body: description, contentType: "application/yaml"}, nil
}
