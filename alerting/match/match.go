// Package match says which tasks and alerts something is about: a rule, a
// silence, a channel. A [Set] holds patterns for labels; an [Index] finds out of
// many sets those that match.
//
// It knows no rule, silence or channel, and keeps nothing.
package match

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Field is a label that patterns are about.
type Field uint8

// The labels. Those from Rule on only alerts have.
const (
	Namespace Field = iota
	Type
	Queue
	Provider
	Agent
	User
	Rule
	Severity
	Reason
	Task
	Alert
	numFields
)

var fieldNames = [numFields]string{"namespace", "type", "queue", "provider", "agent", "user", "rule", "severity", "reason", "task", "alert"}

// String is the label's name.
func (f Field) String() string { return fieldNames[min(f, numFields-1)] }

// ParseField reads a label's name.
func ParseField(s string) (Field, bool) {
	i := slices.Index(fieldNames[:], s)
	return Field(max(i, 0)), i >= 0
}

// TaskFields are the labels that every task's event has, in order.
func TaskFields() []Field { return []Field{Namespace, Type, Queue, Provider, Agent, User} }

// Labels are the values of one task or alert.
type Labels [numFields]string

// The bounds of a set.
const (
	MaxPatterns     = 64
	MaxPatternBytes = 512
)

// Set is patterns by label; a label without patterns takes every value. Patterns
// of one label are alternatives; one with ! before it leaves out what it matches.
// In a pattern * stands for any text and ? for one byte. In JSON and YAML it is a
// map from the label to one pattern or a list of them.
type Set struct{ of [numFields]patterns }

type patterns struct {
	any, none []string
}

func (p patterns) empty() bool { return len(p.any) == 0 && len(p.none) == 0 }

func (p patterns) match(value string) bool {
	for _, n := range p.none {
		if glob(n, value) {
			return false
		}
	}
	if len(p.any) == 0 {
		return true
	}
	for _, a := range p.any {
		if glob(a, value) {
			return true
		}
	}
	return false
}

// Add adds a pattern for a label.
func (s *Set) Add(field Field, pattern string) error {
	if field >= numFields {
		return errors.New("no such label")
	}
	p := &s.of[field]
	if len(pattern) > MaxPatternBytes {
		return fmt.Errorf("the pattern has %d bytes, want at most %d", len(pattern), MaxPatternBytes)
	}
	if len(p.any)+len(p.none) >= MaxPatterns {
		return fmt.Errorf("more than %d patterns for %s", MaxPatterns, field)
	}
	if rest, not := strings.CutPrefix(pattern, "!"); not {
		p.none = append(p.none, rest)
	} else {
		p.any = append(p.any, pattern)
	}
	return nil
}

// Empty reports whether the set matches everything.
func (s *Set) Empty() bool {
	for i := range s.of {
		if !s.of[i].empty() {
			return false
		}
	}
	return true
}

// Has reports whether there are patterns for a label.
func (s *Set) Has(f Field) bool { return !s.of[f].empty() }

// Match reports whether every label's value is taken.
func (s *Set) Match(l *Labels) bool {
	for i := range s.of {
		if p := &s.of[i]; !p.empty() && !p.match(l[i]) {
			return false
		}
	}
	return true
}

// MatchField reports whether one label's value is taken.
func (s *Set) MatchField(f Field, value string) bool { return s.of[f].match(value) }

// MarshalJSON gives the map.
func (s Set) MarshalJSON() ([]byte, error) {
	m := map[string][]string{}
	for i, p := range s.of {
		for _, a := range p.any {
			m[Field(i).String()] = append(m[Field(i).String()], a)
		}
		for _, n := range p.none {
			m[Field(i).String()] = append(m[Field(i).String()], "!"+n)
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads the map; a value is a pattern or a list of them.
func (s *Set) UnmarshalJSON(b []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return errors.New("want an object such as {\"queue\":\"payments\"}")
	}
	out := Set{}
	for name, raw := range m {
		f, ok := ParseField(name)
		if !ok {
			return fmt.Errorf("label %.32q: want one of %s", name, strings.Join(fieldNames[:], ", "))
		}
		var one string
		var many []string
		if json.Unmarshal(raw, &one) == nil {
			many = []string{one}
		} else if err := json.Unmarshal(raw, &many); err != nil {
			return fmt.Errorf("label %s: want a pattern or a list of patterns", name)
		}
		for _, p := range many {
			if err := out.Add(f, p); err != nil {
				return fmt.Errorf("label %s: %w", name, err)
			}
		}
	}
	*s = out
	return nil
}

// glob matches * and ?, in time bounded by the product of the lengths.
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func exact(pattern string) bool { return !strings.ContainsAny(pattern, "*?") }

// Single gives the one value that a label may have, where the set says so.
func (s *Set) Single(f Field) (string, bool) {
	p := s.of[f]
	if len(p.any) == 1 && len(p.none) == 0 && exact(p.any[0]) {
		return p.any[0], true
	}
	return "", false
}
