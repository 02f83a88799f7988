package rule

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/render"
	"github.com/tasktrail/tasktrail/timeline"
)

// common are the keys that every kind takes.
var common = []string{"name", "kind", "match", "for", "keep", "severity", "repeat", "title", "text", "runbook"}

// keysOf are the keys of a kind beside the common ones, and which of them it
// cannot do without.
func keysOf(k Kind) (takes, needs []string) {
	switch k {
	case FailureRate:
		return []string{"by", "window", "above", "clear", "min_samples"}, []string{"above"}
	case ConsecutiveFailures:
		return []string{"by", "failures"}, []string{"failures"}
	case DeadLetterGrowth, LostTasks:
		return []string{"by", "window", "above", "clear"}, []string{"above"}
	case DeadLetters:
		return []string{"by", "above", "clear"}, []string{"above"}
	case OldestPending, Silent:
		return []string{"by", "above", "clear"}, []string{"above"}
	case StalledIngest:
		return []string{"above", "clear"}, []string{"above"}
	case MissedRun:
		return []string{"schedule", "timezone", "every", "grace", "finish_within"}, []string{"match"}
	case NewError:
		return []string{"by", "window", "quiet"}, nil
	}
	return nil, nil
}

func inSeconds(k Kind) bool { return k == OldestPending || k == Silent || k == StalledIngest }

// rule reads one entry of the list.
func (p *parser) rule(n *yaml.Node) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		p.fault(n, "want a rule: a mapping with name, kind, …")
		return
	}
	r := Rule{Severity: timeline.AlertHigh, MinSamples: 10, Window: 5 * time.Minute, Clear: -1, Quiet: 7 * 24 * time.Hour}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := resolved(n.Content[i+1]); n.Content[i].Value == "kind" {
			r.Kind = Kind(v.Value)
			if !slices.Contains(Kinds(), r.Kind) {
				p.fault(v, "kind %.64q: want one of %s", v.Value, kindNames())
				return
			}
		}
	}
	if r.Kind == "" {
		p.fault(n, "the rule has no kind: want one of %s", kindNames())
		return
	}
	if r.Kind == NewError {
		r.Window = time.Hour
	}
	takes, needs := keysOf(r.Kind)
	zone, zoneAt, cronAt := "", n, (*yaml.Node)(nil)
	had := map[string]bool{}
	p.fields(n, "a rule of kind "+string(r.Kind), append(slices.Clone(common), takes...), func(key string, v *yaml.Node) {
		had[key] = true
		switch key {
		case "timezone":
			zone, zoneAt = p.text(v, key, 64), v
		case "schedule":
			cronAt = v
		default:
			p.field(&r, key, v)
		}
	})
	for _, key := range append([]string{"name"}, needs...) {
		if !had[key] {
			p.fault(n, "the rule has no %s", key)
		}
	}
	if r.Name != "" && p.names[r.Name] {
		p.fault(n, "the name %.64q is taken by another rule", r.Name)
	}
	p.names[r.Name] = true
	if r.Kind == MissedRun {
		p.schedule(&r, n, cronAt, zoneAt, zone)
	}
	if r.Clear < 0 {
		r.Clear = r.Above
	} else if r.Clear > r.Above {
		p.fault(n, "clear is above above: want at most as much, so that the alert ends below where it began")
	}
	if s := p.section(n); s != nil {
		r.JSON = s.JSON
	}
	p.file.Rules = append(p.file.Rules, r)
}

func (p *parser) schedule(r *Rule, n, cronAt, zoneAt *yaml.Node, zone string) {
	switch {
	case (cronAt == nil) == (r.Schedule.Every == 0):
		p.fault(n, "want either schedule, a cron expression, or every, a period")
	case cronAt != nil:
		s, err := ParseCron(cronAt.Value, zone)
		if err != nil {
			at := cronAt
			if strings.HasPrefix(err.Error(), "time zone") {
				at = zoneAt
			}
			p.fault(at, "%v", err)
			return
		}
		r.Schedule = s
	case zone != "":
		p.fault(zoneAt, "timezone: a period has none")
	}
}

func (p *parser) field(r *Rule, key string, v *yaml.Node) {
	share := r.Kind == FailureRate
	switch key {
	case "name":
		if r.Name = p.text(v, key, 100); strings.TrimSpace(r.Name) == "" {
			p.fault(v, "name: want text")
		}
	case "match":
		p.match(v, &r.Match)
	case "by":
		p.by(r, v)
	case "window":
		r.Window = p.duration(v, key, slot, MaxWindow)
	case "above", "clear":
		f := 0.0
		if inSeconds(r.Kind) {
			f = p.duration(v, key, 0, MaxWindow).Seconds()
		} else {
			f = p.number(v, key, share)
		}
		if key == "above" {
			r.Above = f
		} else {
			r.Clear = f
		}
	case "failures":
		// So many in a row are enough.
		f := p.number(v, key, false)
		if f < 1 || f > maxStreak {
			p.fault(v, "failures: want 1 to %d", maxStreak)
		}
		r.Above = f - 1
	case "min_samples":
		if r.MinSamples = int(p.number(v, key, false)); r.MinSamples < 1 {
			p.fault(v, "min_samples: want 1 or more")
		}
	case "for":
		r.For = p.duration(v, key, 0, MaxWindow)
	case "keep":
		r.Keep = p.duration(v, key, 0, MaxWindow)
	case "repeat":
		r.Repeat = p.duration(v, key, time.Minute, MaxWindow)
	case "severity":
		r.Severity = p.alertSeverity(v)
	case "title", "text":
		text := p.text(v, key, 4_096)
		if err := render.Check(text); err != nil {
			p.fault(v, "%s: %v", key, err)
		}
		if key == "title" {
			r.Title = text
		} else {
			r.Text = text
		}
	case "runbook":
		if r.Runbook = p.text(v, key, 2_048); !strings.HasPrefix(r.Runbook, "https://") && !strings.HasPrefix(r.Runbook, "http://") {
			p.fault(v, "runbook: want a link, https://…")
		}
	case "every":
		r.Schedule.Every = p.duration(v, key, time.Minute, MaxWindow)
	case "grace":
		r.Grace = p.duration(v, key, 0, MaxWindow)
	case "finish_within":
		r.FinishWithin = p.duration(v, key, time.Second, MaxWindow)
	case "quiet":
		r.Quiet = p.duration(v, key, time.Hour, 90*24*time.Hour)
	}
}

func (p *parser) by(r *Rule, v *yaml.Node) {
	values := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		values = v.Content
	}
	for _, v := range values {
		f, ok := match.ParseField(v.Value)
		if !ok || !slices.Contains(match.TaskFields(), f) || f == match.Namespace {
			p.fault(v, "by: %.32q: want type, queue, provider, agent or user", v.Value)
			continue
		}
		if !slices.Contains(r.By, f) {
			r.By = append(r.By, f)
		}
	}
}

func kindNames() string {
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
