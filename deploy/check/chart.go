// Package check looks at the files of deploy with the code of the tools that read them: the chart is
// rendered by Helm, manifests are decoded by Kubernetes' own types and judged by its Pod Security
// Standards, compose files are loaded by Compose, the Dockerfile is parsed by BuildKit. It is a
// module of its own, so that the program does not depend on any of them. `make deploy-check` runs it.
package check

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// Namespace is where releases are rendered into.
const Namespace = "coupastream"

// Render renders a chart's release, with the values of a file over the chart's own, as helm template
// does: values are checked against the chart's schema, manifests are in the order of their files.
func Render(chartDir, release, valuesFile string) (string, error) {
	values := chartutil.Values{}
	if valuesFile != "" {
		content, err := os.ReadFile(valuesFile)
		if err != nil {
			return "", err
		}
		if values, err = chartutil.ReadValues(content); err != nil {
			return "", fmt.Errorf("%s: %w", valuesFile, err)
		}
	}
	return RenderValues(chartDir, release, values)
}

// RenderValues is Render with values that are read already.
func RenderValues(chartDir, release string, values map[string]any) (string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return "", err
	}
	if err := chart.Validate(); err != nil {
		return "", err
	}
	top, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: release, Namespace: Namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, top)
	if err != nil {
		return "", err
	}
	var names []string
	for name, content := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(content) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		all.WriteString("---\n" + strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(files[name]), "---")) + "\n")
	}
	return all.String(), nil
}
