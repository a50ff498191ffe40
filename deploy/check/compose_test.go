package check

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose loads compose.yaml with a second file over it, as docker compose -f … -f … does.
func loadCompose(t *testing.T, over string, env map[string]string) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(root + "/deploy/compose")
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: env, ConfigFiles: []types.ConfigFile{
		{Filename: filepath.Join(dir, "compose.yaml")}, {Filename: filepath.Join(dir, over)},
	}}
	project, err := loader.LoadWithContext(t.Context(), details, func(o *loader.Options) { o.SetProjectName("coupastream", true) })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFilesLoad(t *testing.T) {
	for _, test := range []struct {
		over string
		env  map[string]string
		want []string
	}{
		{"compose.simulate.yaml", nil, []string{"coupa", "coupastream", "grafana", "kafka", "prometheus", "registry"}},
		{"compose.coupa.yaml", map[string]string{"COUPA_URL": "https://acme.coupahost.com"}, []string{"coupastream", "grafana", "kafka", "prometheus", "registry"}},
	} {
		t.Run(test.over, func(t *testing.T) {
			project := loadCompose(t, test.over, test.env)
			if got := project.ServiceNames(); !slices.Equal(got, test.want) {
				t.Errorf("services %v, want %v", got, test.want)
			}
			for _, s := range project.Services {
				for _, p := range s.Ports {
					if p.HostIP != "127.0.0.1" {
						t.Errorf("%s: port %s is open beyond this machine", s.Name, p.Published)
					}
				}
				for _, v := range s.Volumes {
					if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && (err != nil || !v.ReadOnly) {
						t.Errorf("%s: %s is not there, or may be written: %v", s.Name, v.Source, err)
					}
				}
			}
		})
	}
}

func TestComposeWithoutAnAddressSaysSo(t *testing.T) {
	dir := root + "/deploy/compose"
	_, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: dir, ConfigFiles: []types.ConfigFile{
		{Filename: dir + "/compose.yaml"}, {Filename: dir + "/compose.coupa.yaml"},
	}}, func(o *loader.Options) { o.SetProjectName("coupastream", true) })
	if err == nil {
		t.Error("loaded without COUPA_URL")
	}
}

// The simulated tenant speaks http://, which is for one machine only: it has to be in coupastream's network.
func TestSimulatedTenantIsOnCoupastreamsLoopback(t *testing.T) {
	coupa := loadCompose(t, "compose.simulate.yaml", nil).Services["coupa"]
	if coupa.NetworkMode != "service:coupastream" {
		t.Errorf("network_mode %q", coupa.NetworkMode)
	}
}
