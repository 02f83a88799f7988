package rule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestParseSaysWhereAndWhat(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	f("rules: {}", "line 1, column 8: rules: want a list")
	f("rule: []", "line 1, column 1: unknown key \"rule\" in the file: want rules, severity, channels, watchdog")
	f("rules:\n  - name: a\n    kind: failure-rate\n", "line 3, column 11: kind \"failure-rate\": want one of failure_rate, ")
	f("rules:\n  - name: a\n", "line 2, column 5: the rule has no kind")
	f("rules:\n  - kind: failure_rate\n    above: lots\n", "line 3, column 12: above: want a share such as 0.2 or 20%")
	f("rules:\n  - kind: failure_rate\n    above: 0.5\n", "line 2, column 5: the rule has no name")
	f("rules:\n  - {name: a, kind: failure_rate}\n", "the rule has no above")
	f("rules:\n  - {name: a, kind: failure_rate, above: 2}\n", "want a share from 0 to 1")
	f("rules:\n  - {name: a, kind: failure_rate, above: 0.1, clear: 0.2}\n", "clear is above above")
	f("rules:\n  - {name: a, kind: failure_rate, above: 0.1, failures: 3}\n", "unknown key \"failures\" in a rule of kind failure_rate")
	f("rules:\n  - {name: a, kind: lost_tasks, above: 1, window: 5 minutes}\n", "line 2, column 51: window: want a duration from 10s to 31d, such as")
	f("rules:\n  - {name: a, kind: lost_tasks, above: 1, severity: loud}\n", "want medium, high or critical")
	f("rules:\n  - {name: a, kind: lost_tasks, above: 1, match: {colour: x}}\n", "unknown key \"colour\" in match: want namespace, type, queue, provider, agent, user")
	f("rules:\n  - {name: a, kind: lost_tasks, above: 1, title: '{{.Nope}}'}\n", "column 50: title: ")
	f("rules:\n  - {name: a, kind: missed_run, match: {type: x}}\n", "want either schedule, a cron expression, or every")
	f("rules:\n  - {name: a, kind: missed_run, match: {type: x}, schedule: '61 * * * *'}\n", "column 61: cron expression \"61 * * * *\": want five fields")
	f("rules:\n  - {name: a, kind: missed_run, match: {type: x}, schedule: '0 0 31 2 *'}\n", "no day has this date")
	f("rules:\n  - {name: a, kind: missed_run, match: {type: x}, schedule: '@daily', timezone: Mars/Base}\n", "time zone \"Mars/Base\"")
	f("rules:\n  - {name: a, kind: missed_run, every: 1h}\n", "match")
	f("rules:\n  - {name: a, kind: lost_tasks, above: 1}\n  - {name: a, kind: lost_tasks, above: 2}\n", "line 3, column 5: the name \"a\" is taken")
	f("rules:\n  - name: a\n    kind: x: y\n", "line 3, column 5: not YAML: mapping values are not allowed")
	f("severity: {thresholds: {usd: 5}}", "want a currency of three capital letters")
	f("severity: {thresholds: {USD: many}}", "want an amount such as")
	f("a: 1\na: 2\n", "unknown key")
	f("rules:\n  - {name: a, kind: dead_letters, above: 1, name: b}\n", "name stands twice")
	// All faults at once, in order.
	_, err := Parse([]byte("rules:\n  - {name: a, kind: lost_tasks, above: x}\n  - {name: b, kind: lost_tasks, above: y}\n"))
	if n := strings.Count(fmt.Sprint(err), "line "); n != 2 {
		t.Errorf("%d faults: %v", n, err)
	}
	var fault Fault
	if !errors.As(err, &fault) || fault.Line != 2 {
		t.Errorf("fault %+v", fault)
	}
}

func TestParseFillsIn(t *testing.T) {
	f, err := Parse([]byte(`
severity:
  thresholds: {EUR: "250"}
  types:
    - match: {type: "invoice_*"}
      severity: high
      thresholds: {USD: "10"}
rules:
  - name: r
    kind: failure_rate
    above: 20%
`))
	if err != nil {
		t.Fatal(err)
	}
	r := f.Rules[0]
	if r.Above != 0.2 || r.Clear != 0.2 || r.Window != 5*time.Minute || r.MinSamples != 10 || r.Severity != timeline.AlertHigh {
		t.Errorf("%+v", r)
	}
	s := func(typ, amount, currency string) timeline.AlertSeverity {
		return f.Severities.Classify(&match.Labels{match.Type: typ}, amount, currency)
	}
	for _, c := range []struct {
		typ, amount, currency string
		want                  timeline.AlertSeverity
	}{
		{"invoice_send", "", "", timeline.AlertHigh},
		{"invoice_send", "10", "USD", timeline.AlertCritical},
		{"invoice_send", "249", "EUR", timeline.AlertHigh},
		{"send_email", "249", "EUR", timeline.AlertMedium},
		{"send_email", "250", "EUR", timeline.AlertCritical},
		{"payment", "99", "USD", timeline.AlertHigh},
	} {
		if got := s(c.typ, c.amount, c.currency); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if f, err := Parse(nil); err != nil || len(f.Rules) != 0 {
		t.Errorf("an empty file: %v", err)
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute} {
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
		if back, err := ParseDuration(FormatDuration(got)); err != nil || back != want {
			t.Errorf("%s became %s", in, FormatDuration(got))
		}
	}
	for _, bad := range []string{"", "d", "5", "-1d", "1d-5h-", "7 d"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q: %v", bad, d)
		}
	}
}

// stored is a History out of a list.
type stored []*wire.Record

func (s stored) Replay(_ context.Context, from, to time.Time, _ []timeline.Type, each func(*wire.Record) error) error {
	for _, r := range s {
		if at := time.Unix(0, r.OccurredAt); !at.Before(from) && at.Before(to) {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s stored) LastSeen(_ context.Context, _, fp string, before time.Time) (last time.Time, _ error) {
	for _, r := range s {
		if at := time.Unix(0, r.OccurredAt); string(r.Error.Fingerprint) == fp && at.Before(before) {
			last = at
		}
	}
	return last, nil
}

func TestReplayFindsWhatWouldHaveFired(t *testing.T) {
	var h stored
	at := t0
	for i := range 600 { // ten minutes good, five bad, ten good, with a task a second
		typ := timeline.TaskCompleted
		if i >= 200 && i < 300 {
			typ = timeline.TaskFailed
		}
		h = append(h, rec(timeline.TaskCreated, fmt.Sprint("r", i), at.Add(-time.Second)), rec(typ, fmt.Sprint("r", i), at))
		if typ == timeline.TaskFailed {
			h = append(h, rec(timeline.MovedToDLQ, fmt.Sprint("r", i), at))
		}
		at = at.Add(3 * time.Second)
	}
	res, err := Replay(t.Context(), rules(t, `
rules:
  - {name: rate, kind: failure_rate, above: 50%, window: 1m, for: 1m}
  - {name: depth, kind: dead_letters, above: 99}
  - {name: brief, kind: failure_rate, above: 50%, window: 1m, for: 10m}
  - {name: gone, kind: silent, above: 5m}
`), h, t0, at.Add(6*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Firing{}
	for _, f := range res.Firings {
		by[f.Alert.Rule] = f
	}
	if len(res.Firings) != 3 || res.Events != 1300 {
		t.Errorf("%d firings of %d events: %+v", len(res.Firings), res.Events, res.Firings)
	}
	rate := by["rate"]
	if after := rate.FiredAt.Sub(t0); after < 11*time.Minute || after > 13*time.Minute || rate.EndedAt.Before(t0.Add(15*time.Minute)) || rate.EndedAt.After(t0.Add(17*time.Minute)) {
		t.Errorf("rate %+v", rate)
	}
	if d := by["depth"]; d.FiredAt.Sub(t0) < 14*time.Minute || !d.EndedAt.IsZero() {
		t.Errorf("depth %+v", d)
	}
	if res.Held["brief"] != 1 {
		t.Errorf("held %v", res.Held)
	}
	if _, err := Replay(t.Context(), rules(t, "rules: [{name: s, kind: stalled_ingest, above: 1m}]"), h, t0, at); !errors.Is(err, ErrNotReplayable) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("rules:\n  - {name: a, kind: failure_rate, above: 20%, match: {type: [a, '!b*']}, by: [queue]}\n")
	f.Add("rules:\n  - {name: a, kind: missed_run, match: {type: x}, schedule: '*/5 * * * 1-5', timezone: Europe/Paris, grace: 1d2h}\n")
	f.Add("severity: {thresholds: {USD: '5'}, types: [{match: {type: x}, severity: high}]}\n")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err != nil {
			if !strings.Contains(err.Error(), "line ") || !strings.Contains(err.Error(), "column ") {
				t.Errorf("%v says no place", err)
			}
			return
		}
		e := New(file.Rules, t0)
		e.Observe(rec(timeline.TaskFailed, "t", t0), t0)
		if _, err := e.Evaluate(context.Background(), t0.Add(time.Hour), &past{}, nil); err != nil {
			t.Error(err)
		}
	})
}

func FuzzShare(f *testing.F) {
	e := New(nil, t0)
	b, _ := e.Export(t0, 0)
	f.Add(b)
	f.Add([]byte(`{"groups":{"x":[{"l":["default"],"b":[{"a":1,"g":2}]}]},"tracks":[{"rule":"a"}]}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		s, err := ParseShare(b)
		if err != nil {
			return
		}
		e := New(nil, t0)
		e.Import(s)
		_, _ = e.Evaluate(context.Background(), t0, &past{}, []*Share{s})
	})
}
