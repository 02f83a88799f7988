package alerting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

// Fleet lets several collectors act as one: one of them decides over what all of
// them counted.
type Fleet interface {
	// Lease reports whether holder has the named lease until ttl from now: true for
	// the first who asks, and for the holder again, which renews it. An error says
	// that it could not be decided.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// Share puts a body where the others find it, for ttl.
	Share(ctx context.Context, name, holder string, body []byte, ttl time.Duration) error
	// Shared gives what all holders put there.
	Shared(ctx context.Context, name string) (map[string][]byte, error)
}

// SettledReader tells what became of tasks, whichever collector heard of it.
type SettledReader interface {
	// SettledRuns gives, of those tasks that are not failed any more, the run that
	// completed or whose dead letter was settled.
	SettledRuns(ctx context.Context, namespace string, taskIDs []string) (map[string]int, error)
}

const (
	leaseName = "alerting"
	shareName = "alerting"
	// The lease outlives a few rounds that Redis did not answer in.
	leaseRounds = 4
	// countsFile keeps what rules counted over a restart; countsEvery is how much of
	// it a kill may cost.
	countsFile  = "rules.json"
	countsEvery = 10 * time.Second
	// settledEvery is how often what other collectors heard is asked for, in portions
	// of settledBatch tasks.
	settledEvery = 30 * time.Second
	settledBatch = 1_000
	// refreshEvery is how often what operators set over other collectors is asked for.
	refreshEvery = 10 * time.Second
	// notEvaluatedAfter is for how long rules may go without their answers before
	// somebody is told.
	notEvaluatedAfter = 5 * time.Minute
)

// holderName names this collector, the same after a restart.
func holderName(cfg Config) (string, error) {
	if cfg.Holder != "" {
		return cfg.Holder, nil
	}
	path := filepath.Join(cfg.Dir, "holder")
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 && len(b) < 100 {
		return strings.TrimSpace(string(b)), nil
	}
	var ids timeline.IDGenerator
	name := ids.Next(time.Now()).String()
	if err := os.WriteFile(path, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name this collector: %w", err)
	}
	return name, nil
}

// evaluate decides which rules hold, again and again until ctx ends.
func (a *Alerting) evaluate(ctx context.Context) {
	every := time.NewTicker(a.cfg.EvaluateEvery)
	defer every.Stop()
	var e evaluator
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			a.evaluateOnce(ctx, &e, now)
		}
	}
}

// evaluator is what one round of evaluation has to know of the one before.
type evaluator struct {
	led, begun                bool
	saved, settled, refreshed time.Time
	failing                   time.Time
}

func (a *Alerting) evaluateOnce(ctx context.Context, e *evaluator, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, max(a.cfg.EvaluateEvery, 10*time.Second))
	defer cancel()
	shares, lead := a.fleet(ctx, now)
	if lead {
		if !e.led {
			a.engine.Adopt(shares)
		}
		past := a.deps.Past
		if past == nil {
			past = noPast{}
		}
		changes, err := a.engine.Evaluate(ctx, now, past, shares)
		if len(changes) > 0 {
			// What made them outlives a kill as they do, here and where another takes over.
			e.saved = now
			a.saveCounts(now)
			if err := a.share(ctx, now); err != nil {
				a.cfg.Logger.Debug("tell other collectors what was found", "error", err)
			}
		}
		a.apply(changes, now, !e.led)
		a.evaluated(e, err, now)
	} else if e.led || !e.begun {
		a.engine.Forget()
		a.forgetRules()
	}
	e.led, e.begun = lead, true
	if now.Sub(e.saved) >= countsEvery {
		e.saved = now
		a.saveCounts(now)
	}
	if a.deps.Settled != nil && now.Sub(e.settled) >= settledEvery {
		e.settled = now
		if err := a.askSettled(ctx, now); err != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("ask what became of failed tasks", "error", err)
		}
	}
	if a.deps.Settings != nil && now.Sub(e.refreshed) >= refreshEvery {
		e.refreshed = now
		if err := a.refresh(ctx, now); err != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("read what operators set", "error", err)
		}
	}
}

// fleet tells the others what was counted here, and gives what they counted
// where this collector is the one that decides. With Redis away each decides
// over its own: alerts have the same ids whoever raises them.
func (a *Alerting) fleet(ctx context.Context, now time.Time) (shares []*rule.Share, lead bool) {
	if a.deps.Fleet == nil || len(a.engine.Rules()) == 0 {
		return nil, true
	}
	err := a.share(ctx, now)
	if err == nil {
		lead, err = a.deps.Fleet.Lease(ctx, leaseName, a.holder, a.leaseFor())
	}
	var all map[string][]byte
	if err == nil && lead {
		all, err = a.deps.Fleet.Shared(ctx, shareName)
	}
	if err != nil {
		a.cfg.Logger.Debug("rules are evaluated over what this collector counted alone", "error", err)
		return nil, true
	}
	for holder, b := range all {
		if holder == a.holder {
			continue
		}
		s, err := rule.ParseShare(b)
		if err != nil {
			a.cfg.Logger.Warn("what another collector counted can't be read", "collector", holder, "error", err)
			continue
		}
		shares = append(shares, s)
	}
	return shares, lead
}

func (a *Alerting) leaseFor() time.Duration { return leaseRounds * a.cfg.EvaluateEvery }

// share tells the others what was counted and found here.
func (a *Alerting) share(ctx context.Context, now time.Time) error {
	if a.deps.Fleet == nil {
		return nil
	}
	lag := time.Duration(0)
	if a.deps.Past != nil {
		if l, err := a.deps.Past.IngestLag(ctx); err == nil {
			lag = l
		}
	}
	b, err := a.engine.Export(now, lag)
	if err != nil {
		return err
	}
	return a.deps.Fleet.Share(ctx, shareName, a.holder, b, a.leaseFor()+time.Minute)
}

// apply takes what rules found to the channels. Whoever begins to decide raises
// what another left firing too: with the same ids.
func (a *Alerting) apply(changes []rule.Finding, now time.Time, began bool) {
	if began {
		changes = append(a.engine.Findings(), changes...)
	}
	if len(changes) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range changes {
		al := changes[i].Alert()
		old := a.state.alerts[al.ID]
		if al.State != timeline.AlertFiring && (old == nil || old.State == timeline.AlertPending) {
			if al.State == timeline.AlertPending {
				a.state.put(record{Alert: &al})
			} else if old != nil {
				a.state.put(record{Forget: &al.ID})
			}
			continue
		}
		if al.State == timeline.AlertPending {
			a.state.put(record{Alert: &al}) // it was over, and begins anew
			continue
		}
		if old != nil && old.State == al.State && !al.UpdatedAt.After(old.UpdatedAt) {
			continue
		}
		a.route([]timeline.Alert{al}, now)
	}
	if err := a.commit(now); err != nil {
		a.cfg.Logger.Error("write the state of alerts", "error", err)
	}
}

// forgetRules lets go of the alerts of rules: another collector decides on them.
func (a *Alerting) forgetRules() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, al := range a.ofRules() {
		if al.State != timeline.AlertResolved {
			a.state.put(record{Forget: &al.ID})
		}
	}
}

// ofRules gives the alerts that rules raised. The lock is held, or nothing runs yet.
func (a *Alerting) ofRules() (out []*timeline.Alert) {
	for _, al := range a.state.alerts {
		if al.Labels[rule.LabelKind] != "" {
			out = append(out, al)
		}
	}
	return out
}

// evaluated tells when rules have gone without answers for long.
func (a *Alerting) evaluated(e *evaluator, err error, now time.Time) {
	id := timeline.DeriveID("alert", RuleNotEvaluated, a.holder)
	if err == nil {
		if !e.failing.IsZero() {
			a.mu.Lock()
			a.over(id, "rules are evaluated again", now)
			a.mu.Unlock()
		}
		e.failing = time.Time{}
		return
	}
	a.cfg.Logger.Debug("some rules could not be evaluated", "error", err)
	if e.failing.IsZero() {
		e.failing = now
	}
	if now.Sub(e.failing) < notEvaluatedAfter {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raise(timeline.Alert{
		ID: id, Rule: RuleNotEvaluated, Severity: timeline.AlertHigh, State: timeline.AlertFiring, Namespace: timeline.DefaultNamespace,
		Title: "alert rules can't be evaluated", Text: short(oneLine(err)),
	}, now)
}

// loadCounts takes up what rules had counted before a restart.
func (a *Alerting) loadCounts() {
	b, err := os.ReadFile(filepath.Join(a.cfg.Dir, countsFile))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var s *rule.Share
	if err == nil {
		s, err = rule.ParseShare(b)
	}
	if err != nil {
		a.cfg.Logger.Warn("what rules had counted can't be read; they begin anew", "error", err)
		return
	}
	a.engine.Import(s)
}

func (a *Alerting) saveCounts(now time.Time) {
	b, err := a.engine.Export(now, 0)
	if err == nil {
		path := filepath.Join(a.cfg.Dir, countsFile)
		if err = os.WriteFile(path+".new", b, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		a.cfg.Logger.Warn("keep what rules counted", "error", err)
	}
}

// askSettled ends the alerts of tasks that another collector heard the end of.
func (a *Alerting) askSettled(ctx context.Context, now time.Time) error {
	a.mu.Lock()
	open := map[string][]string{}
	for _, al := range a.state.alerts {
		if al.Rule == RuleTaskFailed && al.State == timeline.AlertFiring && now.Sub(al.UpdatedAt) > time.Minute {
			open[al.Namespace] = append(open[al.Namespace], al.TaskID)
		}
	}
	a.mu.Unlock()
	for namespace, ids := range open {
		for len(ids) > 0 {
			part := ids[:min(len(ids), settledBatch)]
			ids = ids[len(part):]
			runs, err := a.deps.Settled.SettledRuns(ctx, namespace, part)
			if err != nil {
				return err
			}
			a.mu.Lock()
			for id, run := range runs {
				a.route(a.failures.settledElsewhere(a.state, namespace, id, run, now), now)
			}
			err = a.commit(now)
			a.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// refresh takes settings that came over other collectors.
func (a *Alerting) refresh(ctx context.Context, now time.Time) error {
	for _, kind := range settingKinds {
		all, err := a.deps.Settings.LatestSettings(ctx, kind)
		if err != nil {
			return err
		}
		a.mu.Lock()
		for _, v := range all {
			if a.take(v.Namespace, v.Setting, v.ChangedAt) {
				a.dirty = true
			}
		}
		err = a.commit(now)
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
