package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// bodyFields are the fields of every body in the document, by method and path.
func bodyFields(t *testing.T) map[string][]string {
	t.Helper()
	fields := map[string][]string{}
	for path, item := range document(t).Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			if op.RequestBody == nil {
				continue
			}
			key := strings.ToUpper(method) + " " + path
			fields[key] = []string{}
			for _, media := range op.RequestBody.Content.FromOldest() {
				properties := media.Schema.Schema().Properties
				if properties == nil {
					continue
				}
				for name := range properties.FromOldest() {
					fields[key] = append(fields[key], name)
				}
			}
		}
	}
	return fields
}

// TestBadBodyFields gives every field of every body values of every kind: what is
// refused names the field, and nothing breaks.
func TestBadBodyFields(t *testing.T) {
	fields := bodyFields(t)
	values := []string{`1`, `-1`, `1.5`, `1e400`, `99999999999999999999`, `true`, `"x"`, `""`, `[]`, `[1]`, `["x"]`, `[[]]`, `{}`, `{"x":1}`, `[null]`,
		`"\u0000"`, `"'; DROP TABLE events; --"`, `"` + strings.Repeat("a", 10_000) + `"`, `["` + strings.Repeat("a", 10_000) + `"]`}
	for _, r := range (&Server{}).apiRoutes() {
		if !r.mutates || strings.HasSuffix(r.path, "/session") || r.method == "DELETE" {
			continue
		}
		names, ok := fields[r.method+" "+base+documented(r.path)]
		if !ok {
			t.Errorf("%s %s has no body in the document", r.method, r.path)
			continue
		}
		h := start(t)
		h.fill()
		h.operations()
		for _, name := range names {
			refused := 0
			for _, value := range values {
				a, err := h.try(r.method, concrete(r), "admin", fmt.Sprintf(`{%q:%s}`, name, value))
				if err != nil {
					t.Fatal(err)
				}
				if a.status >= 500 {
					t.Errorf("%s %s %s=%.40s: %d %s", r.method, r.path, name, value, a.status, a.body)
				}
				if a.status == 400 {
					refused++
					if a.problem().Field == "" && !strings.Contains(value, "e400") {
						t.Errorf("%s %s %s=%.40s: no field is named: %s", r.method, r.path, name, value, a.body)
					}
				}
			}
			if refused < 5 {
				t.Errorf("%s %s: %s takes nearly anything", r.method, r.path, name)
			}
		}
		for body, status := range map[string]int{`{"nosuch":1}`: 400, `[]`: 400, `null`: 400, `{`: 400, "\"\xff\"": 400, `{"reason":"\ud800"}`: 0} {
			a, err := h.try(r.method, concrete(r), "admin", body)
			if err != nil {
				t.Fatal(err)
			}
			if a.status >= 500 || (status != 0 && a.status != status) {
				t.Errorf("%s %s %s: %d %s", r.method, r.path, body, a.status, a.body)
			}
		}
		h.do(r.method, concrete(r), "admin", `x=1`, "Content-Type", "application/x-www-form-urlencoded").want(415)
	}
}

// TestBodiesNeverBreakIt throws made-up JSON at the routes that read most of it.
func TestBodiesNeverBreakIt(t *testing.T) {
	h := start(t)
	h.fill()
	h.operations()
	targets := []string{"/failed-tasks/bulk-retry", "/failed-tasks/bulk-discard", "/silences", "/keys", "/bulk/" + testBulk + "/pause"}
	names := rapid.SampledFrom([]string{"filter", "ids", "reason", "dry_run", "rate_per_second", "canary", "stop", "match", "starts_at", "ends_at", "duration", "name", "namespace", "scopes", "queues", "expires_in", "type", "from", "failure_share", "x"})
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Float64(), func(f float64) any { return fmt.Sprint(f) }),
			rapid.Map(rapid.Int(), func(i int) any { return i }), rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil),
			rapid.SampledFrom([]any{"payment", "1h", "2026-01-31T12:00:00Z", "ingest", "read:all", true, 5}))
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf, rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(v []any) any { return v }),
			rapid.Map(rapid.MapOfN(names, value(depth-1), 0, 3), func(v map[string]any) any { return v }))
	}
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(rapid.MapOfN(names, value(2), 0, 4).Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		target := rapid.SampledFrom(targets).Draw(t, "target")
		a, err := h.try("POST", base+target, "useroperator", string(body))
		if err != nil {
			t.Fatal(err)
		}
		if a.status >= 500 {
			t.Fatalf("%s %s: %d %s", target, body, a.status, a.body)
		}
	})
}
