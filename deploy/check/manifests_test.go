package check

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chartutil"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	podsecurity "k8s.io/pod-security-admission/api"
	standards "k8s.io/pod-security-admission/policy"
)

const (
	chartDir  = root + "/deploy/helm/coupastream"
	plainFile = root + "/deploy/kubernetes/coupastream.yaml"
)

// releases are the values that the chart is rendered with.
func releases() map[string]struct{ release, values string } {
	return map[string]struct{ release, values string }{
		"plain": {"coupastream", root + "/deploy/kubernetes/values.yaml"},
		"full":  {"prod", chartDir + "/ci/full-values.yaml"},
		"rest":  {"coupastream", chartDir + "/ci/rest-values.yaml"},
	}
}

var update = flag.Bool("update", false, "write deploy/kubernetes/coupastream.yaml anew")

const plainHead = "# The chart of deploy/helm, rendered with values.yaml beside this file; make manifests writes it. kubectl -n NAMESPACE apply -f coupastream.yaml\n"

func TestPlainManifestsAreTheChartsRendering(t *testing.T) {
	got, err := Render(chartDir, "coupastream", root+"/deploy/kubernetes/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What tells of Helm has no place in manifests that are applied without it.
	got = regexp.MustCompile(`(?m)^ +(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n`).ReplaceAllString(got, "")
	if *update {
		if err := os.WriteFile(plainFile, []byte(plainHead+got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(plainFile)
	if err != nil || string(want) != plainHead+got {
		t.Errorf("%s is not what the chart renders (%v); run make manifests", plainFile, err)
	}
}

func TestChartRefusesWrongValues(t *testing.T) {
	for name, test := range map[string]struct {
		values map[string]any
		want   string
	}{
		"no broker":                  {map[string]any{}, "bootstrap.servers"},
		"an unknown value":           {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092"}, "replica": 3}, "replica"},
		"a nested key":               {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092", "ssl": map[string]any{"ca": "x"}}}, "ssl"},
		"a connector's bad name":     {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092"}, "connectors": map[string]any{"Acme Inc": map[string]any{}}}, "Acme Inc"},
		"certificates of kubelets":   {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092", "listeners.https.ssl.client.auth": "required"}}, "requested"},
		"connectors of no ConfigMap": {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092"}, "apply": map[string]any{"enabled": true}}, "configMaps"},
		"an unknown scheme":          {map[string]any{"worker": map[string]any{"bootstrap.servers": "b:9092"}, "api": map[string]any{"scheme": "ftp"}}, "scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := RenderValues(chartDir, "coupastream", test.values); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error about %s", err, test.want)
			}
		})
	}
}

// TestChartRefusesEveryMisspelledValue misspells a key beside each, at any depth, but where keys are
// somebody else's: a worker's, a connector's, Kubernetes'.
func TestChartRefusesEveryMisspelledValue(t *testing.T) {
	others := []string{
		"worker", "connectors", "connectors.acme", "connectors.globex", "files", "secrets", "apply.secrets", "service.annotations", "serviceAccount.annotations", "podAnnotations", "podLabels",
		"nodeSelector", "affinity", "affinity.nodeAffinity", "resources.requests", "resources.limits", "apply.resources.requests", "apply.resources.limits",
		"serviceMonitor.labels", "serviceMonitor.endpoint", "serviceMonitor.endpoint.tlsConfig", "prometheusRule.labels", "dashboard.labels",
	}
	full := func() chartutil.Values {
		values, err := chartutil.ReadValuesFile(chartDir + "/ci/full-values.yaml")
		if err != nil {
			t.Fatal(err)
		}
		own, err := chartutil.ReadValuesFile(chartDir + "/values.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return chartutil.CoalesceTables(values, own)
	}
	var places [][]string
	var walk func(at []string, values map[string]any)
	walk = func(at []string, values map[string]any) {
		places = append(places, at)
		for key, value := range values {
			if below, is := value.(map[string]any); is {
				walk(append(slices.Clone(at), key), below)
			}
		}
	}
	walk(nil, full())
	refused := 0
	for _, at := range places {
		values := full()
		level := map[string]any(values)
		for _, key := range at {
			level = level[key].(map[string]any)
		}
		level["misspelled"] = "x"
		_, err := RenderValues(chartDir, "coupastream", values)
		if slices.Contains(others, strings.Join(at, ".")) {
			continue
		}
		if refused++; err == nil || !strings.Contains(err.Error(), "misspelled") {
			t.Errorf("%s: %v", strings.Join(append(at, "misspelled"), "."), err)
		}
	}
	if refused < 15 {
		t.Errorf("keys were misspelled in %d places, there are more", refused)
	}
}

// objects decodes manifests strictly: an unknown field, or one that is given twice, is an error.
func objects(t *testing.T, manifests string) []runtime.Object {
	t.Helper()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, types, types, json.SerializerOptions{Yaml: true, Strict: true})
	var all []runtime.Object
	for _, doc := range regexp.MustCompile(`(?m)^---$`).Split(manifests, -1) {
		if strings.TrimSpace(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(doc, "")) == "" {
			continue
		}
		object, _, err := decoder.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		all = append(all, object)
	}
	return all
}

// release is what a rendering holds, by kind.
type release struct {
	set      *apps.StatefulSet
	services map[string]*core.Service
	maps     map[string]*core.ConfigMap
	accounts map[string]bool
	budget   *policy.PodDisruptionBudget
	networks map[string]*networking.NetworkPolicy
	network  *networking.NetworkPolicy // the workers'
	applier  *apps.Deployment
	watched  *monitoring.PodMonitor // the applier's
	monitor  *monitoring.ServiceMonitor
	rules    *monitoring.PrometheusRule
}

func read(t *testing.T, manifests string) release {
	t.Helper()
	r := release{services: map[string]*core.Service{}, maps: map[string]*core.ConfigMap{}, accounts: map[string]bool{}, networks: map[string]*networking.NetworkPolicy{}}
	for _, object := range objects(t, manifests) {
		switch o := object.(type) {
		case *apps.StatefulSet:
			r.set = o
		case *core.Service:
			r.services[o.Name] = o
		case *core.ConfigMap:
			r.maps[o.Name] = o
		case *core.ServiceAccount:
			r.accounts[o.Name] = true
		case *policy.PodDisruptionBudget:
			r.budget = o
		case *networking.NetworkPolicy:
			r.networks[o.Name] = o
		case *apps.Deployment:
			r.applier = o
		case *monitoring.PodMonitor:
			r.watched = o
		case *monitoring.ServiceMonitor:
			r.monitor = o
		case *monitoring.PrometheusRule:
			r.rules = o
		default:
			t.Errorf("unexpected %T", o)
		}
	}
	if r.set != nil {
		r.network = r.networks[r.set.Name]
	}
	if r.set == nil || r.budget == nil || r.network == nil {
		t.Fatal("StatefulSet, PodDisruptionBudget or NetworkPolicy is missing")
	}
	return r
}

func TestManifests(t *testing.T) {
	for name, values := range releases() {
		t.Run(name, func(t *testing.T) {
			manifests, err := Render(chartDir, values.release, values.values)
			if err != nil {
				t.Fatal(err)
			}
			r := read(t, manifests)
			t.Run("pods are restricted", r.podsAreRestricted)
			t.Run("selectors find the pods", r.selectorsFindThePods)
			t.Run("references are there", r.referencesAreThere)
			t.Run("a pod is a static member", r.podsAreStaticMembers)
			t.Run("the configuration is valid", r.configurationIsValid)
			if r.applier != nil {
				t.Run("connectors are applied", r.connectorsAreApplied)
			}
			if (r.applier != nil) != (name == "full") {
				t.Error("connectors are applied, or not, against what the values say")
			}
			if name == "full" && (r.monitor == nil || r.rules == nil || r.maps["prod-stream-dashboard"] == nil) {
				t.Error("what watches the release is missing")
			}
			if r.rules != nil && len(r.rules.Spec.Groups[0].Rules) < 20 {
				t.Error("the rules are not the alerts of deploy/prometheus")
			}
		})
	}
}

func (r release) podsAreRestricted(t *testing.T) { restricted(t, r.set.Spec.Template) }

// restricted judges pods by Kubernetes' strictest Pod Security Standard.
func restricted(t *testing.T, pod core.PodTemplateSpec) {
	t.Helper()
	evaluator, err := standards.NewEvaluator(standards.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range evaluator.EvaluatePod(podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	c := pod.Spec.Containers[0]
	if !*c.SecurityContext.ReadOnlyRootFilesystem || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the root may be written, or a token of the API server is mounted")
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Error("no limit of memory or no request of processors")
	}
}

func (r release) selectorsFindThePods(t *testing.T) {
	pod := labels.Set(r.set.Spec.Template.Labels)
	for what, selector := range map[string]*metav1.LabelSelector{"StatefulSet": r.set.Spec.Selector, "PodDisruptionBudget": r.budget.Spec.Selector,
		"NetworkPolicy": &r.network.Spec.PodSelector, "NetworkPolicy ingress": r.network.Spec.Ingress[0].From[0].PodSelector} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(pod) {
			t.Errorf("%s: %v does not find %v", what, s, pod)
		}
	}
	for name, service := range r.services {
		if !labels.SelectorFromSet(service.Spec.Selector).Matches(pod) {
			t.Errorf("Service %s does not find the pods", name)
		}
	}
	if r.monitor == nil {
		return
	}
	var watched []string
	for name, service := range r.services {
		if s, _ := metav1.LabelSelectorAsSelector(&r.monitor.Spec.Selector); s.Matches(labels.Set(service.Labels)) {
			watched = append(watched, name)
			if service.Labels[r.monitor.Spec.JobLabel] != "coupastream" {
				t.Errorf("the job of Service %s is not coupastream, which the alerts are about", name)
			}
		}
	}
	if len(watched) != 1 {
		t.Errorf("the ServiceMonitor finds %v; each worker is to be scraped once", watched)
	}
}

// connectorsAreApplied by a pod that is taken for no worker, reaches them, and has a command line that the
// program takes.
func (r release) connectorsAreApplied(t *testing.T) {
	pod := r.applier.Spec.Template
	restricted(t, pod)
	found := func(selector *metav1.LabelSelector, l map[string]string) bool {
		s, err := metav1.LabelSelectorAsSelector(selector)
		return err == nil && !s.Empty() && s.Matches(labels.Set(l))
	}
	for name, service := range r.services {
		if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("Service %s takes it for a worker", name)
		}
	}
	if found(r.set.Spec.Selector, pod.Labels) || found(r.budget.Spec.Selector, pod.Labels) || found(&r.network.Spec.PodSelector, pod.Labels) || !found(r.applier.Spec.Selector, pod.Labels) {
		t.Errorf("labels %v", pod.Labels)
	}
	own := r.networks[r.applier.Name]
	lets := slices.ContainsFunc(r.network.Spec.Ingress[0].From, func(p networking.NetworkPolicyPeer) bool {
		return p.PodSelector != nil && found(p.PodSelector, pod.Labels)
	})
	if own == nil || !found(&own.Spec.PodSelector, pod.Labels) || !lets || !found(own.Spec.Egress[1].To[0].PodSelector, r.set.Spec.Template.Labels) {
		t.Error("its way to the workers is shut")
	}
	if r.watched == nil || !found(&r.watched.Spec.Selector, pod.Labels) || pod.Labels[r.watched.Spec.JobLabel] == "coupastream" {
		t.Error("nobody watches it, or it is taken for a worker")
	}
	c := pod.Spec.Containers[0]
	cmd := exec.Command(program, append(slices.Clone(c.Args), "--interval=0s")...) // it ends before it begins
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is no time to wait") || !slices.Contains(c.Args, "--url=https://prod-stream:8443") {
		t.Errorf("%v: %v\n%s", c.Args, err, out)
	}
	if s := pod.Spec.Volumes[0].Projected.Sources; len(s) != 2 || s[1].ConfigMap.Name != "team-b-connectors" || c.VolumeMounts[0].Name != pod.Spec.Volumes[0].Name || !slices.Contains(c.Args, "--watch="+c.VolumeMounts[0].MountPath) {
		t.Errorf("it watches %v, %v", c.Args, s)
	}
}

func (r release) referencesAreThere(t *testing.T) {
	spec := r.set.Spec.Template.Spec
	c := spec.Containers[0]
	if s := r.services[r.set.Spec.ServiceName]; s == nil || s.Spec.ClusterIP != core.ClusterIPNone {
		t.Errorf("serviceName %s is no headless Service", r.set.Spec.ServiceName)
	}
	if !r.accounts[spec.ServiceAccountName] {
		t.Errorf("no ServiceAccount %s", spec.ServiceAccountName)
	}
	port := func(name string) bool {
		return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == name })
	}
	for name, s := range r.services {
		if !port(s.Spec.Ports[0].TargetPort.StrVal) {
			t.Errorf("Service %s: no port %v", name, s.Spec.Ports[0].TargetPort)
		}
	}
	for path, probe := range map[string]*core.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if !port(probe.HTTPGet.Port.StrVal) || probe.HTTPGet.Path != path {
			t.Errorf("probe %+v, want %s", probe.HTTPGet, path)
		}
	}
	volumes := map[string]bool{}
	for _, claim := range r.set.Spec.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && r.maps[v.ConfigMap.Name] == nil {
			t.Errorf("no ConfigMap %s", v.ConfigMap.Name)
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("no volume %s", m.Name)
		}
		delete(volumes, m.Name)
	}
	for name := range volumes {
		if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.Name == name }) {
			t.Errorf("volume %s is mounted nowhere", name)
		}
	}
}

// podsAreStaticMembers: with the pod's name for an instance id, and a session that outlasts a restart.
func (r release) podsAreStaticMembers(t *testing.T) {
	worker := r.maps[r.set.Name].Data["worker.yaml"]
	if !strings.Contains(worker, `group.instance.id: "${env:POD_NAME}"`) {
		t.Errorf("no static membership:\n%s", worker)
	}
	if !strings.Contains(worker, `rest.advertised.host.name: "${env:POD_NAME}.`+r.set.Spec.ServiceName+`.${env:POD_NAMESPACE}.svc"`) {
		t.Errorf("other workers don't find the pod:\n%s", worker)
	}
	env := slices.ContainsFunc(r.set.Spec.Template.Spec.Containers[0].Env, func(e core.EnvVar) bool {
		return e.Name == "POD_NAME" && e.ValueFrom.FieldRef.FieldPath == "metadata.name"
	})
	session := regexp.MustCompile(`session\.timeout\.ms: (\d+)000\n`).FindStringSubmatch(worker)
	if !env || session == nil || len(session[1]) < 2 || *r.set.Spec.Template.Spec.TerminationGracePeriodSeconds > 30 {
		t.Errorf("POD_NAME %v, session %v", env, session)
	}
}

// configurationIsValid lays the files out as the pod has them, and lets the program validate them.
func (r release) configurationIsValid(t *testing.T) {
	dir := t.TempDir()
	here := strings.NewReplacer("/run/secrets", dir+"/secrets", "/etc/coupastream/files", dir+"/files")
	write := func(path, content string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(here.Replace(content)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t)
	write(filepath.Join(dir, "secrets/tls/tls.crt"), cert)
	write(filepath.Join(dir, "secrets/tls/tls.key"), key)
	folders := map[string]string{"": ".", "-connectors": "connectors", "-files": "files"}
	var connectors int
	for suffix, folder := range folders {
		if m := r.maps[r.set.Name+suffix]; m != nil {
			for name, content := range m.Data {
				if strings.HasPrefix(content, "-----BEGIN CERTIFICATE-----") {
					content = cert
				}
				write(filepath.Join(dir, folder, name), content)
				for _, ref := range regexp.MustCompile(`\$\{dir:/run/secrets/([^:]+):([^}]+)\}`).FindAllStringSubmatch(content, -1) {
					if !slices.ContainsFunc(r.set.Spec.Template.Spec.Volumes, func(v core.Volume) bool { return v.Name == "secret-"+ref[1] }) {
						t.Errorf("%s: %s is of no Secret that is mounted", name, ref[0])
					}
					write(filepath.Join(dir, "secrets", ref[1], ref[2]), "user:planted-secret-of-a-test")
				}
			}
			if suffix == "-connectors" {
				connectors = len(m.Data)
			}
		}
	}
	var files []string
	for _, arg := range r.set.Spec.Template.Spec.Containers[0].Args {
		if file, ok := strings.CutPrefix(arg, "/etc/coupastream/"); ok {
			files = append(files, file)
		}
	}
	if len(files) != 1+connectors {
		t.Errorf("%d files are run, there are a worker's and %d connectors'", len(files), connectors)
	}
	validate(t, dir, []string{"POD_NAME=" + r.set.Name + "-0", "POD_NAMESPACE=" + Namespace}, files...)
}

func TestTwoReleasesShareNoName(t *testing.T) {
	names := func(name string) string {
		manifests, err := Render(chartDir, name, chartDir+"/ci/rest-values.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		for _, o := range objects(t, manifests) {
			all.WriteString(o.(metav1.Object).GetName() + "\n")
		}
		return all.String()
	}
	for name := range strings.Lines(names("one")) {
		if strings.Contains("\n"+names("two"), "\n"+name) {
			t.Errorf("both have %s", name)
		}
	}
}
