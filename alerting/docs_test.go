package alerting

import (
	"os"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/alerting/rule"
)

// Every example of the manual is a file that works, and no kind goes without one.
func TestTheManualsExamplesWork(t *testing.T) {
	b, err := os.ReadFile("../docs/alerting.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "```yaml\n")
	seen := map[rule.Kind]bool{}
	channels := map[string]bool{}
	for i, p := range parts[1:] {
		text, _, ok := strings.Cut(p, "```")
		if !ok {
			t.Fatalf("example %d has no end", i)
		}
		f, chs, _, err := ParseFile([]byte(text))
		if err != nil {
			t.Errorf("example %d: %v", i, err)
			continue
		}
		for _, r := range f.Rules {
			seen[r.Kind] = true
		}
		for _, c := range chs {
			channels[string(c.Type)] = true
		}
	}
	for _, k := range rule.Kinds() {
		if !seen[k] {
			t.Errorf("no example of %s", k)
		}
	}
	if len(channels) != 4 {
		t.Errorf("examples of channels: %v", channels)
	}
}
