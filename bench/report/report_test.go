package main

import (
	"strings"
	"testing"
)

func TestMediansStandBesideThePeers(t *testing.T) {
	found, err := read(strings.NewReader(`goos: linux
BenchmarkTasktrailPolicy-2   	 1000	 30 ns/op	 0 allocs/op
BenchmarkTasktrailPolicy-2   	 1000	 20 ns/op	 0 allocs/op
BenchmarkTasktrailPolicy-2   	 1000	 90 ns/op	 0 allocs/op
BenchmarkGobreakerBackoff-2  	 1000	 300 ns/op	 4 allocs/op
BenchmarkDurable64Writers/ours-2	10	5 ns/op	1000 durable_events/s
BenchmarkDurable64Writers/bbolt-2	10	5 ns/op	250 durable_events/s
PASS
`))
	if err != nil {
		t.Fatal(err)
	}
	got := table(found)
	for _, want := range []string{
		"| policies of a successful task, ns | 30.0 | gobreaker + backoff | 300 | 10.00 |\n",
		"| durable events/s, 64 writers | 1000 | bbolt | 250 | 4.00 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no row %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "failsafe") || strings.Contains(got, "NaN") {
		t.Errorf("what was not measured stands in\n%s", got)
	}
	if _, err := read(strings.NewReader("--- FAIL: BenchmarkAppend\n")); err == nil {
		t.Error("a failed benchmark is no error")
	}
}
