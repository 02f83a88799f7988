package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/timeline"
)

// WatchdogConfig is a dead man's switch: a URL that is called as long as
// alerting works, so that whoever watches it calls when the calls stop.
type WatchdogConfig struct {
	// URL is called with a POST. Empty for none.
	URL string `json:"url"`
	// Every is how often. Defaults to 1 min.
	Every channel.Duration `json:"every,omitzero"`
	// AllowPrivate lets the URL lead to a loopback, private or link-local address.
	AllowPrivate bool `json:"allow_private,omitempty"`
}

func (c WatchdogConfig) withDefaults() WatchdogConfig {
	if c.Every == 0 {
		c.Every = channel.Duration(time.Minute)
	}
	return c
}

// Validate reports every fault.
func (c WatchdogConfig) Validate() error {
	var errs []error
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "") {
		errs = append(errs, errors.New("url: want https://host/path"))
	}
	if c.Every != 0 && (c.Every.D() < time.Second || c.Every.D() > 24*time.Hour) {
		errs = append(errs, errors.New("every: want 1s to 24h"))
	}
	return errors.Join(errs...)
}

// watchdog makes the calls.
type watchdog struct {
	WatchdogConfig
	poster *channel.Poster
}

func newWatchdog(c WatchdogConfig) *watchdog {
	c = c.withDefaults()
	w := &watchdog{WatchdogConfig: c}
	if c.URL != "" {
		w.poster = channel.NewPoster(c.URL, min(c.Every.D(), 10*time.Second), c.AllowPrivate)
	}
	return w
}

func (w *watchdog) close() {
	if w != nil && w.poster != nil {
		w.poster.Close()
	}
}

// watchdogBody is what is posted.
type watchdogBody struct {
	Type    string    `json:"type"` // watchdog
	At      time.Time `json:"at"`
	Firing  int       `json:"firing"`
	Waiting int       `json:"waiting"`
}

// signal keeps the dead man's switch from going off, until ctx ends. A call that
// is not due because alerting does not work is left out on purpose.
func (a *Alerting) signal(ctx context.Context) {
	last := time.Time{}
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			a.mu.Lock()
			dog, why, body := a.dog, a.sick(now), a.vitals(now)
			a.mu.Unlock()
			if dog.poster == nil || now.Sub(last) < dog.Every.D() {
				continue
			}
			last = now
			if why != "" {
				a.count(func(s *Stats) { s.WatchdogWithheld++ })
				a.cfg.Logger.Error("the watchdog's signal is withheld: alerting does not work", "why", why)
				continue
			}
			b, err := json.Marshal(body)
			if err == nil {
				err = dog.poster.Post(ctx, b)
			}
			if err != nil && ctx.Err() == nil {
				a.count(func(s *Stats) { s.WatchdogFailed++ })
				a.cfg.Logger.Warn("the watchdog's signal could not be sent", "error", err)
			} else if err == nil {
				a.count(func(s *Stats) { s.WatchdogSent++ })
			}
		}
	}
}

func (a *Alerting) count(f func(*Stats)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.stats)
}

// sick says why nobody would be told of an alert, empty where somebody would.
func (a *Alerting) sick(now time.Time) string {
	if a.broken != nil {
		return "its state can't be written: " + a.broken.Error()
	}
	outside, well := 0, 0
	for _, c := range a.channels {
		if !c.mutable {
			continue
		}
		outside++
		m := c.state().mark
		if m.Disabled == "" && (m.FailingSince.IsZero() || now.Sub(m.FailingSince) < a.cfg.FailingAfter) {
			well++
		}
	}
	if outside > 0 && well == 0 {
		return "none of its channels takes anything"
	}
	return ""
}

func (a *Alerting) vitals(now time.Time) watchdogBody {
	b := watchdogBody{Type: "watchdog", At: now.UTC()}
	for _, al := range a.state.alerts {
		if al.State == timeline.AlertFiring {
			b.Firing++
		}
	}
	for _, c := range a.channels {
		b.Waiting += len(c.state().queue)
	}
	return b
}

// failing tells of channels that have not taken anything for a while. The lock
// is held.
func (a *Alerting) failing(now time.Time) {
	for _, c := range a.channels {
		m := c.state().mark
		if m.Disabled != "" || m.FailingSince.IsZero() || now.Sub(m.FailingSince) < a.cfg.FailingAfter {
			continue
		}
		a.raise(timeline.Alert{
			ID: failingID(c), Rule: RuleChannelFailing, Severity: timeline.AlertHigh, State: timeline.AlertFiring, Namespace: timeline.DefaultNamespace,
			Title: "alerts can't be delivered over " + c.name, Text: short("since " + m.FailingSince.Format(time.RFC3339) + ": " + c.stats.LastError),
		}, now)
	}
}

func (a *Alerting) recovered(c *deliverer, now time.Time) {
	a.over(failingID(c), "alerts are delivered again", now)
}

func failingID(c *deliverer) timeline.ID {
	return timeline.DeriveID("alert", RuleChannelFailing, c.alerting.holder, c.name)
}
