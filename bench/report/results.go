package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// medians are those of every figure, by benchmark and unit.
type medians map[string]map[string]float64

var processors = regexp.MustCompile(`-\d+$`)

// read takes the lines of results out of the output of benchmarks: a name, how many
// iterations, then pairs of a figure and its unit. Other lines are passed over; a
// FAIL among them is an error.
func read(in io.Reader) (medians, error) {
	all := map[string]map[string][]float64{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) > 0 && (f[0] == "FAIL" || f[0] == "---" && len(f) > 1 && f[1] == "FAIL:") {
			return nil, fmt.Errorf("a benchmark failed: %s", lines.Text())
		}
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(strings.TrimPrefix(f[0], "Benchmark"), "")
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				break
			}
			if all[name] == nil {
				all[name] = map[string][]float64{}
			}
			all[name][f[i+1]] = append(all[name][f[i+1]], v)
		}
	}
	out := medians{}
	for name, units := range all {
		out[name] = map[string]float64{}
		for unit, v := range units {
			slices.Sort(v)
			out[name][unit] = (v[len(v)/2] + v[(len(v)-1)/2]) / 2
		}
	}
	return out, lines.Err()
}
