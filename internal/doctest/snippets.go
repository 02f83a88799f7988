// Package doctest holds guides against the examples they quote. It is for tests
// alone.
package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// languages are the names of snippets whose code is in files of these kinds.
var languages = map[string]string{".go": "go", ".js": "js", ".py": "python", ".rb": "ruby", ".ru": "ruby"}

// Snippets fails where a piece of code in the guide, in the language of the examples,
// does not stand, line for line, in one of them, which are compiled and run, and where
// the guide has fewer than least of them. Indentation does not count.
func Snippets(t testing.TB, guide string, least int, examples ...string) {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	language := languages[filepath.Ext(examples[0])]
	for _, path := range examples {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code = append(code, unindented(b))
	}
	snippets := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1)
	if len(snippets) < least {
		t.Fatalf("%d snippets in %s", len(snippets), guide)
	}
	for _, s := range snippets {
		want := unindented(s[1])
		if !slices.ContainsFunc(code, func(c string) bool { return strings.Contains(c, want) }) {
			t.Errorf("not in %s:\n%s", strings.Join(examples, ", "), s[1])
		}
	}
}

func unindented(code []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(code)) {
		b.WriteString(strings.TrimLeft(line, "\t "))
	}
	return b.String()
}
