package redact

import (
	"errors"
	"fmt"
	"strings"
)

// maxPaths is how many paths fit the set of those that still match.
const maxPaths = 64

// paths are the configured paths by their segments.
type paths [][]string

func parsePaths(texts []string) (paths, error) {
	var faults []error
	if len(texts) > maxPaths {
		faults = append(faults, fmt.Errorf("redaction paths: %d, the limit is %d", len(texts), maxPaths))
	}
	all := make(paths, 0, len(texts))
	for _, text := range texts {
		// The root and array elements may be written as JSONPath does.
		p := strings.TrimPrefix(strings.TrimPrefix(text, "$"), ".")
		p = strings.ReplaceAll(strings.ReplaceAll(p, "[", "."), "]", "")
		p = strings.TrimPrefix(p, ".")
		segments := strings.Split(p, ".")
		for _, s := range segments {
			if s == "" {
				faults = append(faults, fmt.Errorf("redaction path %q: want names or * between dots", text))
				break
			}
		}
		all = append(all, segments)
	}
	return all, errors.Join(faults...)
}

// all is the set of every path.
func (p paths) all() uint64 {
	if len(p) >= 64 {
		return ^uint64(0)
	}
	return 1<<len(p) - 1
}

// step returns which of the paths in set still match when a member named name
// (nil for an array element) is entered at the given depth, and whether one ends
// there.
func (p paths) step(set uint64, depth int, name []byte, index int) (next uint64, ends bool) {
	if set == 0 {
		return 0, false
	}
	for i, segments := range p {
		if set&(1<<i) == 0 || depth >= len(segments) || !segmentFits(segments[depth], name, index) {
			continue
		}
		if depth == len(segments)-1 {
			return 0, true
		}
		next |= 1 << i
	}
	return next, false
}

func segmentFits(segment string, name []byte, index int) bool {
	if segment == "*" {
		return true
	}
	if name != nil {
		return segment == string(name)
	}
	n := 0
	for _, c := range []byte(segment) {
		if c < '0' || c > '9' || n > 1<<30 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n == index
}
