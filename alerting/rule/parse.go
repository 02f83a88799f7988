package rule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// The bounds of a file of rules.
const (
	MaxFileBytes = 1 << 20
	MaxRules     = 1_000
	MaxWindow    = 31 * 24 * time.Hour
)

// Fault is one thing that is wrong in a file of rules.
type Fault struct {
	Line, Column int
	// Want says what would be right.
	Want string
}

func (f Fault) Error() string { return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Want) }

// Parse reads a file of rules. Its error joins every [Fault], in the order of
// the file.
func Parse(b []byte) (*File, error) {
	if len(b) > MaxFileBytes {
		return nil, Fault{1, 1, fmt.Sprintf("the file has %d bytes, want at most %d", len(b), MaxFileBytes)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, syntaxFault(b, err)
	}
	p := &parser{file: &File{Severities: Severities{Thresholds: timeline.DefaultThresholds()}}, names: map[string]bool{}}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		p.top(doc.Content[0])
	}
	slices.SortStableFunc(p.faults, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	if len(p.faults) > 0 {
		errs := make([]error, len(p.faults))
		for i, f := range p.faults {
			errs[i] = f
		}
		return nil, errors.Join(errs...)
	}
	return p.file, nil
}

var syntaxLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntaxFault places an error of the YAML reader, which knows the line alone.
func syntaxFault(b []byte, err error) error {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return Fault{1, 1, "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	n, _ := strconv.Atoi(m[1])
	column := 1
	if lines := strings.Split(string(b), "\n"); n >= 1 && n <= len(lines) {
		column = len(lines[n-1]) - len(strings.TrimLeft(lines[n-1], " \t")) + 1
	}
	return Fault{max(n, 1), column, "not YAML: " + m[2]}
}

type parser struct {
	file   *File
	faults []Fault
	names  map[string]bool
}

func (p *parser) fault(n *yaml.Node, format string, args ...any) {
	if len(p.faults) < 100 {
		p.faults = append(p.faults, Fault{max(n.Line, 1), max(n.Column, 1), fmt.Sprintf(format, args...)})
	}
}

// fields goes over a mapping; read returns false for a key it does not know.
func (p *parser) fields(n *yaml.Node, what string, known []string, read func(key string, v *yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		p.fault(n, "%s: want a mapping with %s", what, strings.Join(known, ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolved(n.Content[i+1])
		switch {
		case !slices.Contains(known, k.Value):
			p.fault(k, "unknown key %.64q in %s: want %s", k.Value, what, strings.Join(known, ", "))
		case seen[k.Value]:
			p.fault(k, "%s stands twice", k.Value)
		default:
			seen[k.Value] = true
			read(k.Value, v)
		}
	}
}

// resolved follows an alias. The YAML reader refuses those that hold themselves.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func (p *parser) top(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	p.fields(n, "the file", []string{"rules", "severity", "channels", "watchdog"}, func(key string, v *yaml.Node) {
		switch key {
		case "rules":
			if v.Kind != yaml.SequenceNode {
				p.fault(v, "rules: want a list")
				return
			}
			if len(v.Content) > MaxRules {
				p.fault(v, "rules: %d of them, want at most %d", len(v.Content), MaxRules)
				return
			}
			for _, r := range v.Content {
				p.rule(r)
			}
		case "severity":
			p.severity(v)
		case "channels":
			if v.Kind != yaml.SequenceNode {
				p.fault(v, "channels: want a list")
				return
			}
			for _, c := range v.Content {
				if s := p.section(c); s != nil {
					p.file.Channels = append(p.file.Channels, *s)
				}
			}
		case "watchdog":
			p.file.Watchdog = p.section(v)
		}
	})
}

func (p *parser) section(n *yaml.Node) *Section {
	var v map[string]any
	if err := n.Decode(&v); err != nil {
		p.fault(n, "want a mapping")
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		p.fault(n, "want a mapping of text, numbers and lists")
		return nil
	}
	return &Section{max(n.Line, 1), max(n.Column, 1), b}
}

func (p *parser) severity(n *yaml.Node) {
	p.fields(n, "severity", []string{"thresholds", "types"}, func(key string, v *yaml.Node) {
		switch key {
		case "thresholds":
			p.file.Severities.Thresholds = p.file.Severities.Thresholds.With(p.thresholds(v))
		case "types":
			if v.Kind != yaml.SequenceNode {
				p.fault(v, "types: want a list")
				return
			}
			for _, t := range v.Content {
				var ts TypeSeverity
				p.fields(t, "an entry of types", []string{"match", "severity", "thresholds"}, func(key string, v *yaml.Node) {
					switch key {
					case "match":
						p.match(v, &ts.Match)
					case "severity":
						ts.Severity = p.alertSeverity(v)
					case "thresholds":
						ts.Thresholds = p.thresholds(v)
					}
				})
				p.file.Severities.Types = append(p.file.Severities.Types, ts)
			}
		}
	})
}

func (p *parser) thresholds(n *yaml.Node) timeline.Thresholds {
	out := timeline.Thresholds{}
	if n.Kind != yaml.MappingNode {
		p.fault(n, "thresholds: want a mapping such as USD: \"100\"")
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolved(n.Content[i+1])
		if len(k.Value) != 3 || strings.ToUpper(k.Value) != k.Value {
			p.fault(k, "%.32q: want a currency of three capital letters, such as USD", k.Value)
		}
		if v.Kind != yaml.ScalarNode || !timeline.IsDecimal(v.Value) {
			p.fault(v, "want an amount such as \"100\"")
			continue
		}
		out[k.Value] = v.Value
	}
	return out
}

func (p *parser) match(n *yaml.Node, into *match.Set) {
	known := make([]string, 0, 6)
	for _, f := range match.TaskFields() {
		known = append(known, f.String())
	}
	p.fields(n, "match", known, func(key string, v *yaml.Node) {
		f, _ := match.ParseField(key)
		values := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			values = v.Content
		}
		for _, v := range values {
			v = resolved(v)
			if v.Kind != yaml.ScalarNode {
				p.fault(v, "match.%s: want a pattern or a list of patterns", key)
				continue
			}
			if err := into.Add(f, v.Value); err != nil {
				p.fault(v, "match.%s: %v", key, err)
			}
		}
	})
}

func (p *parser) alertSeverity(n *yaml.Node) timeline.AlertSeverity {
	s, ok := timeline.ParseAlertSeverity(n.Value)
	if !ok || n.Kind != yaml.ScalarNode {
		p.fault(n, "severity: want medium, high or critical")
	}
	return s
}

func (p *parser) text(n *yaml.Node, key string, most int) string {
	if n.Kind != yaml.ScalarNode || len(n.Value) > most || n.Tag == "!!null" {
		p.fault(n, "%s: want text of at most %d bytes", key, most)
		return ""
	}
	return n.Value
}

func (p *parser) duration(n *yaml.Node, key string, least, most time.Duration) time.Duration {
	d, err := ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < least || d > most {
		p.fault(n, "%s: want a duration from %s to %s, such as 90s, 5m, 1h30m or 7d", key, FormatDuration(least), FormatDuration(most))
		return least
	}
	return d
}

// number reads a plain number, or a percentage where share is set.
func (p *parser) number(n *yaml.Node, key string, share bool) float64 {
	text, percent := n.Value, false
	if share {
		text, percent = strings.CutSuffix(text, "%")
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if percent {
		f /= 100
	}
	switch {
	case n.Kind != yaml.ScalarNode || err != nil || f < 0 || f != f || f > 1e15:
		if share {
			p.fault(n, "%s: want a share such as 0.2 or 20%%", key)
		} else {
			p.fault(n, "%s: want a number, 0 or more", key)
		}
		return 0
	case share && f > 1:
		p.fault(n, "%s: want a share from 0 to 1, or a percentage", key)
	}
	return f
}

// ParseDuration is time.ParseDuration with days: 7d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	days := time.Duration(0)
	if head, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("duration %.32q: want one such as 90s, 5m or 7d", s)
		}
		days = time.Duration(n) * 24 * time.Hour
		if rest == "" {
			return days, nil
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %.32q: want one such as 90s, 5m or 7d", s)
	}
	return days + d, nil
}

// FormatDuration writes a duration in its largest whole units: 7d, 1h30m, 90s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if days := d / (24 * time.Hour); days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		d -= days * 24 * time.Hour
	}
	if d == 0 {
		return b.String()
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return b.String() + s
}
