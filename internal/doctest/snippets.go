// Package doctest holds guides against the examples they quote. It is for tests
// alone.
package doctest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

// Snippets fails where a piece of Go in the guide does not stand, line for line, in
// the example, which is compiled and run, and where the guide has fewer than least
// of them. Indentation does not count.
func Snippets(t testing.TB, guide, example string, least int) {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	snippets := snippet.FindAllSubmatch(text, -1)
	if len(snippets) < least {
		t.Fatalf("%d snippets in %s", len(snippets), guide)
	}
	for _, s := range snippets {
		if !strings.Contains(unindented(code), unindented(s[1])) {
			t.Errorf("not in %s:\n%s", example, s[1])
		}
	}
}

func unindented(code []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(code)) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}
