package query

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	maxTextBytes   = 512
	maxListItems   = 50
	maxParamBytes  = 8 << 10 // one value, whatever its kind
	maxWindow      = 30 * 24 * time.Hour
	defaultLimit   = 50
	maxLimit       = 200
	maxCursorBytes = 1 << 10
	// maxTaskDuration bounds the durations asked for of tasks.
	maxTaskDuration = 365 * 24 * time.Hour
)

// params are the query parameters of one request. Its readers note the first
// fault and give zero values from then on; err returns it.
type params struct {
	values map[string][]string
	first  *failure
}

// parseParams reads a raw query strictly: every name must be one of allowed and
// stand there once (those in repeatable may stand more often).
func parseParams(raw string, allowed, repeatable []string) (*params, error) {
	p := &params{values: map[string][]string{}}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil || !utf8.ValidString(name) {
			return nil, invalid(printable(rawName), "the parameter's name is not valid percent-encoded UTF-8")
		}
		if !slices.Contains(allowed, name) {
			return nil, invalid(printable(name), "there is no such parameter here; there are: %s", strings.Join(allowed, ", "))
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return nil, invalid(name, "the value is not valid percent-encoding")
		case len(value) > maxParamBytes:
			return nil, invalid(name, "%d bytes, the limit is %d", len(value), maxParamBytes)
		case !utf8.ValidString(value):
			return nil, invalid(name, "must be valid UTF-8")
		case strings.IndexByte(value, 0) >= 0:
			return nil, invalid(name, "must not contain a NUL byte")
		case value == "":
			return nil, invalid(name, "must not be empty; leave it out instead")
		case len(p.values[name]) > 0 && !slices.Contains(repeatable, name):
			return nil, invalid(name, "stands there more than once")
		case len(p.values[name]) >= maxListItems:
			return nil, invalid(name, "stands there more than %d times", maxListItems)
		}
		p.values[name] = append(p.values[name], value)
	}
	return p, nil
}

// printable makes a name from outside safe to show.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) <= 64 {
		return s
	}
	cut := 64
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func (p *params) err() error {
	if p.first == nil {
		return nil
	}
	return p.first
}

func (p *params) note(field, format string, args ...any) {
	if p.first == nil {
		p.first = invalid(field, format, args...)
	}
}

func (p *params) raw(name string) (string, bool) {
	v := p.values[name]
	if len(v) == 0 {
		return "", false
	}
	return v[0], true
}

// text is free text of at most limit bytes.
func (p *params) text(name string, limit int) string {
	v, _ := p.raw(name)
	if len(v) > limit {
		p.note(name, "%d bytes, the limit is %d", len(v), limit)
		return ""
	}
	return v
}

// list is a comma-separated list of names.
func (p *params) list(name string) []string {
	v, ok := p.raw(name)
	if !ok {
		return nil
	}
	items := strings.Split(v, ",")
	if len(items) > maxListItems {
		p.note(name, "%d values, the limit is %d", len(items), maxListItems)
		return nil
	}
	for i, item := range items {
		switch {
		case item == "":
			p.note(name, "value %d of the list is empty", i+1)
			return nil
		case len(item) > timeline.MaxNameBytes:
			p.note(name, "a value of %d bytes, the limit is %d", len(item), timeline.MaxNameBytes)
			return nil
		}
	}
	return items
}

// enumList is a comma-separated list of words that parse knows.
func enumList[T any](p *params, name string, words []string, parse func(string) (T, bool)) []T {
	var out []T
	for _, item := range p.list(name) {
		v, ok := parse(item)
		if !ok {
			p.note(name, "%q is not one of: %s", printable(item), strings.Join(words, ", "))
			return nil
		}
		out = append(out, v)
	}
	return out
}

// words makes a parser for enumList from the string values of a type.
func words[T ~string](values []T) ([]string, func(string) (T, bool)) {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return names, func(s string) (T, bool) { return T(s), slices.Contains(names, s) }
}

func (p *params) integer(name string, low, high, otherwise int) int {
	v, ok := p.raw(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		p.note(name, "want a whole number from %d to %d", low, high)
		return otherwise
	}
	return n
}

func (p *params) boolean(name string) bool {
	v, ok := p.raw(name)
	if !ok {
		return false
	}
	if v != "true" && v != "false" {
		p.note(name, "want true or false")
	}
	return v == "true"
}

// choice is true, false, or nil where the parameter is not there.
func (p *params) choice(name string) *bool {
	if _, ok := p.raw(name); !ok {
		return nil
	}
	v := p.boolean(name)
	return &v
}

// duration reads 90s, 1h30m or 7d.
func (p *params) duration(name string, low, high, otherwise time.Duration) time.Duration {
	v, ok := p.raw(name)
	if !ok {
		return otherwise
	}
	d, err := parseDuration(v)
	if err != nil || d < low || d > high {
		p.note(name, "want a duration such as 90s, 1h30m or 7d, from %s to %s", low, high)
		return otherwise
	}
	return d
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("days: %w", err)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

// lasted reads the least and the most of how long something took.
func (p *params) lasted() (least, most time.Duration) {
	least, most = p.duration("min_duration", 0, maxTaskDuration, 0), p.duration("max_duration", 0, maxTaskDuration, 0)
	if most > 0 && most < least {
		p.note("max_duration", "must not be less than min_duration")
	}
	return least, most
}

// instant reads an RFC 3339 time, in the years the store can hold.
func (p *params) instant(name string) time.Time {
	v, ok := p.raw(name)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil || t.Year() < 1971 || t.Year() > 2261 {
		p.note(name, "want a time such as 2026-01-31T12:00:00Z, years 1971 to 2261")
		return time.Time{}
	}
	return t.UTC()
}

// within reads the half-open range of two parameters.
func (p *params) within(from, to string) readmodel.Range {
	r := readmodel.Range{From: p.instant(from), To: p.instant(to)}
	if !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To) {
		p.note(to, "must be later than %s", from)
	}
	return r
}

func (p *params) traceID(name string) timeline.TraceID {
	var id timeline.TraceID
	v, ok := p.raw(name)
	if !ok {
		return id
	}
	if err := id.UnmarshalText([]byte(v)); err != nil || id.IsZero() {
		p.note(name, "want 32 hexadecimal characters")
	}
	return id
}

// pathTaskID decodes the task id of a path, where slashes and the like stand
// percent-encoded.
func pathTaskID(raw string) (string, error) {
	return pathText("task_id", raw, timeline.MaxTaskIDBytes)
}

// pathText decodes a segment of a path that is free text.
func pathText(field, raw string, limit int) (string, error) {
	v, err := url.PathUnescape(raw)
	switch {
	case err != nil:
		return "", invalid(field, "is not valid percent-encoding")
	case v == "":
		return "", invalid(field, "must not be empty")
	case len(v) > limit:
		return "", invalid(field, "%d bytes, the limit is %d", len(v), limit)
	case !utf8.ValidString(v):
		return "", invalid(field, "must be valid UTF-8")
	case strings.IndexByte(v, 0) >= 0:
		return "", invalid(field, "must not contain a NUL byte")
	}
	return v, nil
}

func pathDeadLetterID(raw string) (timeline.ID, error) { return pathID(raw, "a dead letter's id") }

// pathID decodes a segment of a path that is an id of ours.
func pathID(raw, whose string) (timeline.ID, error) {
	v, err := url.PathUnescape(raw)
	if err != nil {
		return timeline.ID{}, invalid("id", "is not valid percent-encoding")
	}
	id, err := timeline.ParseID(v)
	if err != nil || id.IsZero() {
		return timeline.ID{}, invalid("id", "want the 36 characters of %s", whose)
	}
	return id, nil
}
