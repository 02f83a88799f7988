package riverrunner_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

// Every line of Go in the guide stands, in the same order, in the examples, which
// are compiled and run.
func TestTheGuideIsWhatTheExamplesDo(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/runners/river.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	snippets := snippet.FindAllSubmatch(guide, -1)
	if len(snippets) < 4 {
		t.Fatalf("%d snippets in the guide", len(snippets))
	}
	for _, s := range snippets {
		if !strings.Contains(unindented(examples), unindented(s[1])) {
			t.Errorf("not in example_test.go:\n%s", s[1])
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
