package tasktrail_test

import (
	"bufio"
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/tasktrail/tasktrail"

// deps lists what a package imports, directly and through others, without the
// standard library.
func deps(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pattern)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pattern, err, stderr.String())
	}
	return strings.Fields(string(out))
}

// direct lists what the non-test files of a package name in their imports.
func direct(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, pattern)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pattern, err, stderr.String())
	}
	imports := map[string][]string{}
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		imports[f[0]] = f[1:]
	}
	return imports
}

func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// A program that wraps its tasks compiles nothing but the standard library, the
// OpenTelemetry API, and our own vocabulary and plumbing.
func TestAgentIsLight(t *testing.T) {
	allowed := []string{
		module + "/agent", module + "/timeline", module + "/internal",
		"go.opentelemetry.io/otel", "go.opentelemetry.io/auto/sdk",
		"github.com/go-logr/logr", "github.com/go-logr/stdr", "github.com/cespare/xxhash/v2", // of the OTel API
		"golang.org/x/sys", // of the log on disk: flock, fallocate
	}
	denied := []string{
		"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", module + "/timeline/wire/otlpjson",
	}
	for _, d := range deps(t, "./agent") {
		ok := false
		for _, a := range allowed {
			ok = ok || under(d, a)
		}
		for _, n := range denied {
			ok = ok && !under(d, n)
		}
		if !ok {
			t.Errorf("agent compiles %s, which is not on its allow-list", d)
		}
	}
}

// Rooms of one floor do not import one another; only app brings them together,
// and only cmd imports app.
func TestSiblingsDoNotImportOneAnother(t *testing.T) {
	rooms := []string{"agent", "collector", "store", "live", "alerting", "query"}
	for _, room := range rooms {
		for pkg, imports := range direct(t, "./"+room+"/...") {
			for _, imp := range imports {
				for _, other := range rooms {
					if other != room && under(imp, module+"/"+other) {
						t.Errorf("%s imports %s: declare the interface it needs and let app hand it over", pkg, imp)
					}
				}
				if under(imp, module+"/app") || under(imp, module+"/cmd") {
					t.Errorf("%s imports %s, a floor above it", pkg, imp)
				}
			}
		}
	}
}

// The vocabulary and its wire form import the standard library alone.
func TestVocabularyIsPlain(t *testing.T) {
	for _, d := range deps(t, "./timeline") {
		if d != module+"/timeline" {
			t.Errorf("timeline compiles %s", d)
		}
	}
	for _, d := range deps(t, "./timeline/wire") {
		if !under(d, module+"/timeline") {
			t.Errorf("timeline/wire compiles %s", d)
		}
	}
	for pkg, imports := range direct(t, "./internal/...") {
		for _, imp := range imports {
			if under(imp, module) && !under(imp, module+"/internal") {
				t.Errorf("%s imports %s: plumbing knows no words", pkg, imp)
			}
		}
	}
}

// Every package says what it is for, in the file a reader opens first or in
// doc.go, and no file grows past what one noun needs.
func TestPackagesExplainThemselves(t *testing.T) {
	const longest = 450
	docs := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || (name != "." && strings.HasPrefix(name, ".")) || name == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		docs[dir] = docs[dir] || f.Doc != nil && (strings.HasPrefix(f.Doc.Text(), "Package ") || strings.HasPrefix(f.Doc.Text(), "Command "))
		if n := fset.File(f.Pos()).LineCount(); n > longest && !strings.Contains(path, ".gen.") {
			t.Errorf("%s has %d lines: which two things does it do?", path, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range docs {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}
