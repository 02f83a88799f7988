package query

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var writeDoc = flag.Bool("update", false, "write the tables of docs/api.md")

// The tables of docs/api.md are made from the routes, the OpenAPI document and the
// codes of problems: `go test ./query -run TestAPIDocIsCurrent -update`.
func TestAPIDocIsCurrent(t *testing.T) {
	const file = "../docs/api.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := between(t, string(text), "problems", problemTable())
	want = between(t, want, "routes", routeTable(t))
	if want == string(text) {
		return
	}
	if !*writeDoc {
		t.Fatal("docs/api.md is not what the routes say: make generate")
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// between replaces what stands between a pair of marks.
func between(t *testing.T, text, mark, table string) string {
	t.Helper()
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/api.md has no marks of %s", mark)
	}
	return before + begin + table + end + after
}

func problemTable() string {
	var b strings.Builder
	b.WriteString("| status | code | |\n|---|---|---|\n")
	for _, c := range slices.SortedFunc(maps.Keys(statuses), func(x, y code) int {
		if d := statuses[x].status - statuses[y].status; d != 0 {
			return d
		}
		return strings.Compare(string(x), string(y))
	}) {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", statuses[c].status, c, statuses[c].title)
	}
	return b.String()
}

func routeTable(t *testing.T) string {
	t.Helper()
	summaries := map[string]string{}
	for path, item := range document(t).Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			summaries[strings.ToUpper(method)+" "+path] = op.Summary
		}
	}
	words := map[access]string{accessAny: "any", accessRead: "read", accessReadAll: "read all", accessOperate: "operate", accessOperateAll: "operate all", accessAdmin: "admin"}
	var b strings.Builder
	b.WriteString("| route | token | |\n|---|---|---|\n")
	for _, r := range (&Server{}).apiRoutes() {
		path := documented(r.path)
		fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", r.method, path, words[r.access], summaries[r.method+" "+base+path])
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml"} {
		fmt.Fprintf(&b, "| `GET %s` | | %s |\n", path, summaries["GET "+path])
	}
	return b.String()
}
