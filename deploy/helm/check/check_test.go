package check

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const dir = "../tasktrail"

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c := load(t)
	v, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "tasktrail", Namespace: "tasktrail", IsInstall: true, Revision: 1}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, v)
}

// monitor is what the chart says to the Prometheus operator, whose types are not
// Kubernetes' own.
type monitor struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Endpoints []struct{ Port, Path, Interval string } `json:"endpoints"`
	} `json:"spec"`
}

var strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})

var separator = regexp.MustCompile(`(?m)^---\s*$`)

// objects decodes all that is rendered; a field that Kubernetes does not know is a
// fault.
func objects(t *testing.T, values map[string]any) (out []runtime.Object, monitors []monitor) {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, doc := range separator.Split(files[name], -1) {
			switch {
			case strings.TrimSpace(doc) == "" || strings.HasPrefix(strings.TrimSpace(doc), "#") && !strings.Contains(doc, "kind:"):
			case strings.Contains(doc, "kind: ServiceMonitor"):
				var m monitor
				if err := yaml.UnmarshalStrict([]byte(doc), &m); err != nil {
					t.Fatalf("%s: %v\n%s", name, err, doc)
				}
				monitors = append(monitors, m)
			default:
				o, _, err := strict.Decode([]byte(doc), nil, nil)
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, doc)
				}
				out = append(out, o)
			}
		}
	}
	return out, monitors
}

var secret = map[string]any{
	"TASKTRAIL_CLICKHOUSE_DSN": "http://a:b@c:8123/tasktrail", "TASKTRAIL_REDIS_URL": "redis://r:6379", "TASKTRAIL_ADMIN_TOKEN": "t",
	"TASKTRAIL_TOKEN": "t", "TASKTRAIL_COMMAND_KEY": "k", "TASKTRAIL_SESSION_KEY": "s",
}

// every is the values with everything on.
func every() map[string]any {
	return map[string]any{
		"secret": secret, "alertRules": "rules:\n  - name: a\n    kind: failure_rate\n", "imagePullSecrets": []any{map[string]any{"name": "pull"}},
		"collector": map[string]any{
			"storageClass": "fast", "env": map[string]any{"TASKTRAIL_CLICKHOUSE_CLUSTER": "main"}, "nodeSelector": map[string]any{"disk": "ssd"},
			"tolerations":    []any{map[string]any{"key": "a", "operator": "Exists"}},
			"podAnnotations": map[string]any{"a": "b"}, "service": map[string]any{"annotations": map[string]any{"a": "b"}},
		},
		"query":          map[string]any{"ingress": map[string]any{"enabled": true, "className": "nginx", "tlsSecret": "tls", "annotations": map[string]any{"a": "b"}}},
		"serviceAccount": map[string]any{"annotations": map[string]any{"a": "b"}},
		"networkPolicy": map[string]any{
			"collectorFrom": []any{map[string]any{"namespaceSelector": map[string]any{}}},
			"queryFrom":     []any{map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"app": "ingress"}}}},
		},
		"serviceMonitor": map[string]any{"enabled": true, "labels": map[string]any{"release": "prometheus"}},
	}
}

func TestLint(t *testing.T) {
	for _, m := range lint.All(dir, map[string]any{"existingSecret": "s"}, "tasktrail", false).Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

func TestEverythingIsWhatKubernetesKnows(t *testing.T) {
	for name, values := range map[string]map[string]any{"least": {"existingSecret": "s"}, "every": every()} {
		t.Run(name, func(t *testing.T) {
			all, monitors := objects(t, values)
			kinds := map[string]int{}
			labels := map[string]map[string]string{} // of services
			ports := map[string][]string{}
			var pods []corev1.PodTemplateSpec
			for _, o := range all {
				kinds[o.GetObjectKind().GroupVersionKind().Kind]++
				switch o := o.(type) {
				case *appsv1.StatefulSet:
					pods = append(pods, o.Spec.Template)
					holds(t, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
				case *appsv1.Deployment:
					pods = append(pods, o.Spec.Template)
					holds(t, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
				case *batchv1.Job:
					pods = append(pods, o.Spec.Template)
				case *corev1.Service:
					if e := validation.IsDNS1035Label(o.Name); e != nil {
						t.Error(o.Name, e)
					}
					labels[o.Name] = o.Labels
					for _, p := range o.Spec.Ports {
						ports[o.Name] = append(ports[o.Name], p.Name)
					}
				case *netv1.NetworkPolicy:
					if len(o.Spec.Ingress) == 0 || len(o.Spec.Ingress[0].Ports) == 0 {
						t.Errorf("%s lets nobody in", o.Name)
					}
				}
			}
			want := map[string]int{"StatefulSet": 1, "Deployment": 1, "Job": 1, "Service": 3, "ServiceAccount": 1, "PodDisruptionBudget": 2, "NetworkPolicy": 2}
			if name == "every" {
				maps.Copy(want, map[string]int{"Secret": 1, "ConfigMap": 1, "Ingress": 1})
				if len(monitors) != 2 {
					t.Errorf("%d monitors", len(monitors))
				}
			}
			if !maps.Equal(kinds, want) {
				t.Errorf("rendered %v, want %v", kinds, want)
			}
			for _, m := range monitors {
				found := 0
				for service, l := range labels {
					if selects(m.Spec.Selector.MatchLabels, l) {
						found++
						if !slices.Contains(ports[service], m.Spec.Endpoints[0].Port) {
							t.Errorf("%s scrapes a port that %s has not", m.Metadata.Name, service)
						}
					}
				}
				if found != 1 {
					t.Errorf("%s selects %d services: every pod wants to be scraped once", m.Metadata.Name, found)
				}
			}
			for _, p := range pods {
				checkPod(t, p.Spec)
			}
		})
	}
}

func checkPod(t *testing.T, p corev1.PodSpec) {
	t.Helper()
	if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
		t.Error("service links would bring variables that are no settings")
	}
	if p.SecurityContext == nil || p.SecurityContext.RunAsNonRoot == nil || !*p.SecurityContext.RunAsNonRoot {
		t.Error("a pod runs as root")
	}
	mounts := map[string]bool{}
	for _, v := range p.Volumes {
		mounts[v.Name] = true
	}
	for _, c := range p.Containers {
		s := c.SecurityContext
		if s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || len(s.Capabilities.Drop) != 1 {
			t.Errorf("%s may more than it needs", c.Name)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s has no resources", c.Name)
		}
		if c.Name != "migrate" && (c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe == nil) {
			t.Errorf("%s is not probed", c.Name)
		}
		names := map[string]bool{}
		for _, e := range c.Env {
			if names[e.Name] || e.Value == "" {
				t.Errorf("%s: variable %s is %q, or there twice", c.Name, e.Name, e.Value)
			}
			names[e.Name] = true
		}
		for _, m := range c.VolumeMounts {
			if !mounts[m.Name] && m.Name != "log" {
				t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
			}
		}
	}
}

func holds(t *testing.T, selector, labels map[string]string) {
	t.Helper()
	if len(selector) == 0 || !selects(selector, labels) {
		t.Errorf("%v does not select %v", selector, labels)
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func TestWrongValuesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]any
		want   string
	}{
		"no secret":    {nil, "existingSecret"},
		"half":         {map[string]any{"secret": map[string]any{"TASKTRAIL_TOKEN": "t"}}, "TASKTRAIL_CLICKHOUSE_DSN is missing"},
		"unknown":      {map[string]any{"existingSecret": "s", "colector": map[string]any{}}, "colector"},
		"none of them": {map[string]any{"existingSecret": "s", "collector": map[string]any{"replicas": 0}}, "replicas"},
		"a number":     {map[string]any{"existingSecret": "s", "collector": map[string]any{"logMaxBytes": 1e10}}, "logMaxBytes"},
	} {
		if _, err := render(t, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

var snippet = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// The pods of the README are what Kubernetes knows, too.
func TestSnippets(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := snippet.FindAllStringSubmatch(string(text), -1)
	if len(found) != 2 {
		t.Fatalf("%d snippets", len(found))
	}
	for _, m := range found {
		o, _, err := strict.Decode([]byte(m[1]), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, m[1])
		}
		if p, ok := o.(*corev1.Pod); !ok || p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks {
			t.Errorf("%T: want a pod without service links", o)
		}
	}
}
