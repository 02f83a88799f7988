package channel

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/render"
	hooks "github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
)

// Duration stands as text such as 10s in JSON and YAML.
type Duration time.Duration

// D returns the value as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// MarshalText gives Go's form of a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form of a duration; nothing is zero.
func (d *Duration) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %.32q: want one such as 90s or 5m", b)
	}
	*d = Duration(v)
	return nil
}

// Type is where a channel leads.
type Type string

// The types of channels.
const (
	// Webhook: a POST signed after Standard Webhooks.
	Webhook Type = "webhook"
	// Alertmanager: POST /api/v2/alerts of a Prometheus Alertmanager.
	Alertmanager Type = "alertmanager"
	// Slack: an incoming webhook of Slack, or of what speaks its form.
	Slack Type = "slack"
	// PagerDuty: the Events API v2.
	PagerDuty Type = "pagerduty"
)

// The forms of a webhook's body.
const (
	BodyStandard     = "standard"
	BodyAlertmanager = "alertmanager"
)

// Config is one channel. Durations stand as text.
type Config struct {
	// Name is unique; its queue outlives a restart under it.
	Name string `yaml:"name" json:"name"`
	// Type is webhook, alertmanager, slack or pagerduty.
	Type Type `yaml:"type" json:"type"`
	// URL is called, https:// or http://: a webhook's or Slack's own, an
	// Alertmanager's base. Defaults to PagerDuty's for pagerduty.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Secrets sign each call of a webhook after Standard Webhooks: whsec_ and base64.
	// All of them sign, so that a receiver can change from one to the next; two at
	// most. Needed for the standard body.
	Secrets []string `yaml:"secrets,omitempty" json:"secrets,omitempty"`
	// RoutingKey is PagerDuty's integration key.
	RoutingKey string `yaml:"routing_key,omitempty" json:"routing_key,omitempty"`
	// Body is the form of a webhook's body, standard or alertmanager (its version 4).
	// Defaults to standard.
	Body string `yaml:"body,omitempty" json:"body,omitempty"`

	// MinSeverity leaves out what is less loud: medium, high or critical. Defaults to
	// medium.
	MinSeverity string `yaml:"min_severity,omitempty" json:"min_severity,omitempty"`
	// Match leaves out what has other labels. Defaults to everything.
	Match match.Set `yaml:"-" json:"match,omitzero"`
	// GroupBy puts alerts that share these labels into one call. Defaults to none: a
	// call for each alert, at once.
	GroupBy []string `yaml:"group_by,omitempty" json:"group_by,omitempty"`
	// GroupWait is how long the first call of a group waits for more. Defaults to
	// 10 s.
	GroupWait Duration `yaml:"group_wait,omitempty" json:"group_wait,omitzero"`
	// GroupInterval is the shortest time between two calls of a group. Defaults to
	// 1 min.
	GroupInterval Duration `yaml:"group_interval,omitempty" json:"group_interval,omitzero"`
	// Repeat is how often what goes on is told again; negative for never. Defaults to
	// 4 h, for an Alertmanager, which forgets, to 5 min.
	Repeat Duration `yaml:"repeat,omitempty" json:"repeat,omitzero"`
	// Title and Text are templates; empty for the alert's own words.
	Title string `yaml:"title,omitempty" json:"title,omitempty"`
	Text  string `yaml:"text,omitempty" json:"text,omitempty"`

	// AllowPrivate lets the URL lead to a loopback, private or link-local address.
	// Defaults to false.
	AllowPrivate bool `yaml:"allow_private,omitempty" json:"allow_private,omitempty"`
	// Timeout bounds one call. Defaults to 10 s.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitzero"`
	// Parallel bounds the calls at the same time. Calls about one alert are never
	// made at the same time. Defaults to 4.
	Parallel int `yaml:"parallel,omitempty" json:"parallel,omitempty"`
	// DisableAfter is after how long without a success the channel is disabled, with
	// notice. Defaults to 72 h.
	DisableAfter Duration `yaml:"disable_after,omitempty" json:"disable_after,omitzero"`
	// Off takes the channel out of use.
	Off bool `yaml:"off,omitempty" json:"off,omitempty"`
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.MinSeverity == "" {
		c.MinSeverity = timeline.AlertMedium.String()
	}
	if c.Type == PagerDuty && c.URL == "" {
		c.URL = pagerDutyURL
	}
	if c.Type == Webhook && c.Body == "" {
		c.Body = BodyStandard
	}
	for _, d := range [...]struct {
		field *Duration
		value time.Duration
	}{
		{&c.GroupWait, 10 * time.Second}, {&c.GroupInterval, time.Minute},
		{&c.Timeout, 10 * time.Second}, {&c.DisableAfter, 72 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = Duration(d.value)
		}
	}
	if c.Repeat == 0 {
		c.Repeat = Duration(4 * time.Hour)
		if c.Type == Alertmanager {
			c.Repeat = Duration(5 * time.Minute)
		}
	}
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	return c
}

// Validate reports every fault at once. It never repeats a secret or a URL,
// which may hold one.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" || len(c.Name) > 100 {
		fault("name: want 1 to 100 bytes")
	}
	if !slices.Contains([]Type{Webhook, Alertmanager, Slack, PagerDuty}, c.Type) {
		fault("type: %.32q, want webhook, alertmanager, slack or pagerduty", c.Type)
	}
	if u, err := url.Parse(c.URL); (err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil) && (c.Type != PagerDuty || c.URL != "") {
		fault("url: want https://host/path without user or password")
	}
	if c.Type == Webhook {
		if c.Body != "" && c.Body != BodyStandard && c.Body != BodyAlertmanager {
			fault("body: %.32q, want standard or alertmanager", c.Body)
		}
		if n := len(c.Secrets); n > 2 || n == 0 && c.Body != BodyAlertmanager {
			fault("secrets: %d of them, want one, or two while they are changed", n)
		}
		for i, s := range c.Secrets {
			if _, err := hooks.ParseSecret(s); err != nil {
				fault("secrets[%d]: %w", i, err)
			}
		}
	}
	if c.Type == PagerDuty && (len(c.RoutingKey) < 8 || len(c.RoutingKey) > 128) {
		fault("routing_key: want PagerDuty's integration key")
	}
	if c.MinSeverity != "" {
		if _, ok := timeline.ParseAlertSeverity(c.MinSeverity); !ok {
			fault("min_severity: %.32q, want medium, high or critical", c.MinSeverity)
		}
	}
	for _, g := range c.GroupBy {
		if f, ok := match.ParseField(g); !ok || f == match.Task || f == match.Alert {
			fault("group_by: %.32q, want namespace, type, queue, provider, agent, user, rule, severity or reason", g)
		}
	}
	for name, text := range map[string]string{"title": c.Title, "text": c.Text} {
		if err := render.Check(text); err != nil {
			fault("%s: %w", name, err)
		}
	}
	for _, d := range [...]struct {
		name  string
		value Duration
		most  time.Duration
	}{
		{"timeout", c.Timeout, time.Minute}, {"group_wait", c.GroupWait, time.Hour}, {"group_interval", c.GroupInterval, 24 * time.Hour},
		{"disable_after", c.DisableAfter, 30 * 24 * time.Hour},
	} {
		if d.value < 0 || d.value.D() > d.most {
			fault("%s: want at most %v", d.name, d.most)
		}
	}
	if c.Repeat > 0 && c.Repeat.D() < time.Minute {
		fault("repeat: want 1m or more, or a negative one for never")
	}
	if c.Parallel < 0 || c.Parallel > 64 {
		fault("parallel: want 1 to 64")
	}
	return errors.Join(errs...)
}

// Severity is the least severity that is told.
func (c Config) Severity() timeline.AlertSeverity {
	s, _ := timeline.ParseAlertSeverity(c.MinSeverity)
	return s
}

// Target names where a channel leads, without saying it: one that was disabled
// is tried again when it leads elsewhere.
func (c Config) Target() string {
	h := sha256.Sum256([]byte(c.URL + "\x00" + c.RoutingKey))
	return base64.RawStdEncoding.EncodeToString(h[:12])
}

// Redacted is the channel without its secrets, for showing: a URL's path may be
// one too.
func (c Config) Redacted() Config {
	c.Secrets = slices.Clone(c.Secrets)
	for i := range c.Secrets {
		c.Secrets[i] = "whsec_…"
	}
	if c.RoutingKey != "" {
		c.RoutingKey = "…"
	}
	if u, err := url.Parse(c.URL); err == nil && u.Path != "" && c.Type != Alertmanager {
		c.URL = u.Scheme + "://" + u.Host + "/…"
	}
	return c
}

// Host is where a channel leads, without what may be secret in that.
func (c Config) Host() string {
	if u, err := url.Parse(c.URL); err == nil {
		return u.Host
	}
	return ""
}
