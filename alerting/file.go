package alerting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

// file is what a file of rules says, all of it checked.
type file struct {
	rules    *rule.File
	channels []channel.Config
	watchdog WatchdogConfig
	state    fileState
}

// fileState tells whether a file was changed.
type fileState struct {
	modified time.Time
	size     int64
}

// ParseFile reads a file of rules with its channels and its watchdog, as New
// does: its error says line, column and what was expected.
func ParseFile(b []byte) (*rule.File, []channel.Config, WatchdogConfig, error) {
	f, err := rule.Parse(b)
	if err != nil {
		return nil, nil, WatchdogConfig{}, err
	}
	var errs []error
	channels := make([]channel.Config, len(f.Channels))
	names := map[string]bool{RedisChannel: true}
	for i, s := range f.Channels {
		err := strict(s.JSON, &channels[i])
		if err == nil {
			err = channels[i].WithDefaults().Validate()
		}
		if name := channels[i].Name; err == nil && names[name] {
			err = fmt.Errorf("the name %.64q is taken", name)
		}
		names[channels[i].Name] = true
		if err != nil {
			errs = append(errs, rule.Fault{Line: s.Line, Column: s.Column, Want: "channel: " + oneLine(err)})
		}
	}
	var dog WatchdogConfig
	if s := f.Watchdog; s != nil {
		err := strict(s.JSON, &dog)
		if err == nil {
			err = dog.Validate()
		}
		if err != nil {
			errs = append(errs, rule.Fault{Line: s.Line, Column: s.Column, Want: "watchdog: " + oneLine(err)})
		}
	}
	return f, channels, dog, errors.Join(errs...)
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func oneLine(err error) string {
	return string(bytes.ReplaceAll([]byte(err.Error()), []byte("\n"), []byte("; ")))
}

// readFile reads the configured file; without one there are no rules.
func (a *Alerting) readFile() (*file, error) {
	f := &file{rules: &rule.File{Severities: rule.Severities{Thresholds: a.cfg.Thresholds}}}
	if a.cfg.RulesFile == "" {
		return f, nil
	}
	st, err := os.Stat(a.cfg.RulesFile)
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	f.state = fileState{st.ModTime(), st.Size()}
	if st.Size() > rule.MaxFileBytes {
		return f, fmt.Errorf("%s: %d bytes, want at most %d", a.cfg.RulesFile, st.Size(), rule.MaxFileBytes)
	}
	b, err := os.ReadFile(a.cfg.RulesFile)
	if err != nil {
		return f, fmt.Errorf("read the rules: %w", err)
	}
	if f.rules, f.channels, f.watchdog, err = ParseFile(b); err != nil {
		return f, fmt.Errorf("%s: %s", a.cfg.RulesFile, oneLine(err))
	}
	return f, nil
}

// makeChannels makes the deliverers of a configuration; those of old that are
// the same stay.
func (a *Alerting) makeChannels(f *file, old []*deliverer) (out []*deliverer, err error) {
	made := []*deliverer{}
	defer func() {
		if err != nil {
			for _, d := range made {
				d.stop()
			}
		}
	}()
	configured := append(slices.Clone(a.cfg.Channels), f.channels...)
	if err := channelFaults(configured); err != nil {
		return nil, err
	}
	all := make([]channelOf, 0, len(configured))
	for _, c := range configured {
		all = append(all, channelOf{Config: c, key: c.Name, source: SourceFile})
	}
	for _, c := range append(all, a.operatorChannels(configured)...) {
		if c.Off {
			continue
		}
		c.Config = c.WithDefaults()
		var d *deliverer
		for _, o := range old {
			if o.config != nil && o.name == c.key && o.namespace == c.namespace && reflect.DeepEqual(*o.config, c.Config) {
				d = o
			}
		}
		if d == nil {
			if d, err = a.newDeliverer(c); err != nil {
				return nil, err // both were checked: it does not come to this
			}
			made = append(made, d)
		}
		out = append(out, d)
	}
	return out, nil
}

// force puts what a file says in force, but for its channels.
func (a *Alerting) force(f *file) {
	a.file, a.inFile, a.changed = f.state, f, false
	a.failures.severities = f.rules.Severities
	a.engine.Replace(append(slices.Clone(f.rules.Rules), a.operatorRules(f.rules.Rules)...))
	if a.dog == nil || a.dog.WatchdogConfig != f.watchdog.withDefaults() {
		a.dog.close()
		a.dog = newWatchdog(f.watchdog)
	}
}

// Reload reads the file of rules again. After an error what was in force stays
// in force, and an alert says so.
func (a *Alerting) Reload() error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	f, err := a.readFile()
	now := time.Now()
	if err == nil {
		err = a.replace(f)
	}
	id := timeline.DeriveID("alert", RuleFileBad, a.cfg.RulesFile)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if f != nil {
			a.file = f.state
		}
		a.cfg.Logger.Error("the rules can't be read; those from before stay in force", "error", err)
		a.raise(timeline.Alert{
			ID: id, Rule: RuleFileBad, Severity: timeline.AlertHigh, State: timeline.AlertFiring, Namespace: timeline.DefaultNamespace,
			Title: "the file of alert rules can't be read", Text: short(err.Error()) + "\nthe rules from before stay in force",
		}, now)
		return fmt.Errorf("alerting: %w", err)
	}
	a.over(id, "the file is in force", now)
	a.cfg.Logger.Info("the rules are in force", "rules", len(a.engine.Rules()), "channels", len(a.channels))
	return nil
}

// replace exchanges rules and channels. Those that stay the same go on.
func (a *Alerting) replace(f *file) error {
	a.mu.Lock()
	old := a.channels
	next, err := a.makeChannels(f, old)
	if err != nil || a.closed {
		a.mu.Unlock()
		return err
	}
	if len(old) > 0 && old[0].config == nil {
		next = append([]*deliverer{old[0]}, next...)
	}
	keeps := map[*deliverer]bool{}
	for _, d := range next {
		keeps[d] = true
	}
	a.mu.Unlock()
	// A worker that is under way needs the lock to come to its end.
	was := map[*deliverer]bool{}
	for _, d := range old {
		if !keeps[d] {
			d.stopping()
		}
	}
	for _, d := range old {
		was[d] = true
		if !keeps[d] {
			d.stop()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.channels = next
	a.force(f)
	a.settleChannels()
	for _, d := range next {
		if !was[d] && a.started && !a.closed {
			d.start(a.life)
		}
	}
	return nil
}

// watchFile reads the file again where it was changed.
func (a *Alerting) watchFile() {
	if a.cfg.RulesFile == "" {
		return
	}
	st, err := os.Stat(a.cfg.RulesFile)
	if err != nil {
		return // it is being replaced, or gone: what is in force stays
	}
	a.mu.Lock()
	same := a.file == fileState{st.ModTime(), st.Size()}
	a.mu.Unlock()
	if !same {
		_ = a.Reload() // it says what is wrong
	}
}
