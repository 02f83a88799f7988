package execrunner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReportsOfProgress(t *testing.T) {
	var got []string
	l := &lines{prefix: progressPrefix, report: func(d, n float64, m string) { got = append(got, fmt.Sprintf("%v of %v %q", d, n, m)) }}
	text := "noise\n##tasktrail progress 3/10 half way\n##tasktrail progress 4 10\n##tasktrail progress x/10\n" +
		"##tasktrail progress NaN/1\n##tasktrail progress 5/10 " + strings.Repeat("x", maxLine) + "\n##tasktrail progress 6/0\n"
	for _, r := range text {
		if _, err := l.Write([]byte(string(r))); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`3 of 10 "half way"`, `4 of 10 ""`, `6 of 0 ""`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseProgress(f *testing.F) {
	f.Add("3/10 message")
	f.Add("3 10\tmessage")
	f.Add("-1/\xff")
	f.Fuzz(func(t *testing.T, s string) {
		done, total, message, ok := parseProgress(s)
		if ok && (!finite(done) || !finite(total) || !utf8.ValidString(message)) {
			t.Errorf("%q gave %v of %v, %q", s, done, total, message)
		}
	})
}

func TestTailKeepsTheEnd(t *testing.T) {
	var last tail
	var all strings.Builder
	for i := range 5000 {
		s := fmt.Sprintf("line %d\n", i)
		last.write([]byte(s))
		all.WriteString(s)
	}
	if got := last.String(); len(got) != tailBytes || !strings.HasSuffix(all.String(), got) {
		t.Errorf("kept %d bytes", len(got))
	}
	if len(last.b) > 2*tailBytes {
		t.Errorf("holds %d bytes", len(last.b))
	}
}

// The descriptor stays the same whatever else the process has open.
func TestEnvironmentNamesTheDescriptor(t *testing.T) {
	env := environment(context.Background(), []string{"A=1"})
	if !slices.Equal(env, []string{"A=1", "TASKTRAIL_PROGRESS_FD=3"}) {
		t.Errorf("environment %q", env)
	}
}
