// Command report makes one table of the measurements beside the peers: it reads what
// `go test -bench` and bench/ingest wrote, takes medians, and sets ours beside
// theirs.
//
//	report -json results.json -doc docs/performance.md < output of the benchmarks
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	file := flag.String("json", "", "file for every median, for machines; empty for none")
	doc := flag.String("doc", "", "Markdown file whose marked part the table replaces; empty to print it")
	flag.Parse()
	if err := run(os.Stdin, *file, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, file, doc string) error {
	found, err := read(in)
	if err != nil {
		return err
	}
	if file != "" {
		if err := writeJSON(file, found); err != nil {
			return err
		}
	}
	text := table(found)
	if doc == "" {
		_, err := fmt.Print(text)
		return err
	}
	return replace(doc, text)
}

func writeJSON(file string, found medians) error {
	b, err := json.MarshalIndent(struct {
		Time       time.Time `json:"time"`
		Go         string    `json:"go"`
		Processors int       `json:"processors"`
		Load       string    `json:"load_average"`
		Medians    medians   `json:"medians"`
	}{time.Now().UTC().Truncate(time.Second), runtime.Version(), runtime.NumCPU(), load(), found}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

const (
	begin = "<!-- bench -->\n"
	end   = "<!-- /bench -->"
)

// replace puts the table between the marks of a Markdown file.
func replace(doc, text string) error {
	b, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", doc, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(doc, []byte(before+begin+text+end+after), 0o644)
}

// load is the machine's load average of the last minute and of the last quarter of
// an hour.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	f := strings.Fields(string(b))
	return f[0] + ", " + f[2]
}
