package alerting

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
)

// The bounds of what operators set, over all namespaces; what is beyond is not in
// force, and says so.
const (
	maxOperatorChannels = 500
	maxOperatorRules    = 2_000
)

// Source is where a channel or a rule comes from.
type Source string

// The sources.
const (
	// SourceFile: the configuration and its file of rules. It is for all namespaces.
	SourceFile Source = "file"
	// SourceAPI: an operator set it. It is for its namespace.
	SourceAPI Source = "api"
)

// channelOf is a channel and where it comes from.
type channelOf struct {
	channel.Config
	key       string // unique among those of all namespaces
	namespace string
	source    Source
}

// ChannelSecrets is what is sealed of a channel that operators set.
type ChannelSecrets struct {
	URL        string   `json:"url,omitempty"`
	Secrets    []string `json:"secrets,omitempty"`
	RoutingKey string   `json:"routing_key,omitempty"`
}

// ParseChannel reads one channel in JSON, in the words of the file. Its error
// joins a *[timeline.FieldError] for each fault.
func ParseChannel(b []byte) (channel.Config, error) {
	var c channel.Config
	if err := strict(b, &c); err != nil {
		return c, fieldError(err)
	}
	err := c.WithDefaults().Validate()
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return c, err
	}
	errs := many.Unwrap()
	for i := range errs {
		errs[i] = fieldError(errs[i])
	}
	return c, errors.Join(errs...)
}

// fieldError gives an error that begins with a field's name the field.
func fieldError(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return &timeline.FieldError{Field: kind.Field, Want: "not a " + kind.Value}
	}
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		return &timeline.FieldError{Field: strings.TrimSuffix(name, `"`), Want: "there is no such field of a channel"}
	}
	field, want, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(field, " \"") {
		return &timeline.FieldError{Want: err.Error()}
	}
	return &timeline.FieldError{Field: field, Want: want}
}

// set gives what operators set of a kind, in order. The lock is held.
func (a *Alerting) set(kind string) (out []*setting) {
	for _, v := range a.state.settings {
		if v.Kind == kind && !v.Deleted {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(x, y *setting) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// unfits notes why a setting is not in force.
func (a *Alerting) unfits(v *setting, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if a.unfit[v.key()] != why {
		a.cfg.Logger.Warn("what an operator set is not in force", "kind", v.Kind, "namespace", v.Namespace, "name", v.ID, "why", why)
	}
	a.unfit[v.key()] = why
}

// clearUnfit forgets why settings of a kind were not in force.
func (a *Alerting) clearUnfit(kind string) {
	if a.unfit == nil {
		a.unfit = map[settingKey]string{}
	}
	for k := range a.unfit {
		if k.kind == kind {
			delete(a.unfit, k)
		}
	}
}

// operatorChannels gives the channels that operators set and that can be in
// force beside the configured ones. The lock is held, or nothing runs yet.
func (a *Alerting) operatorChannels(configured []channel.Config) (out []channelOf) {
	a.clearUnfit(timeline.SettingChannel)
	taken, keys := map[string]bool{RedisChannel: true}, map[string]bool{}
	for _, c := range configured {
		taken[c.Name] = true
	}
	for _, v := range a.set(timeline.SettingChannel) {
		c, err := a.openChannel(v)
		key := v.ID
		if v.Namespace != timeline.DefaultNamespace {
			key = v.Namespace + "/" + v.ID
		}
		switch {
		case err != nil:
			a.unfits(v, "%s", oneLine(err))
		case taken[v.ID] || taken[key] || keys[key]:
			a.unfits(v, "the configuration has a channel of this name")
		case len(out) >= maxOperatorChannels:
			a.unfits(v, "there are more than %d channels", maxOperatorChannels)
		default:
			keys[key] = true
			out = append(out, channelOf{Config: c, key: key, namespace: v.Namespace, source: SourceAPI})
		}
	}
	return out
}

func (a *Alerting) openChannel(v *setting) (channel.Config, error) {
	var body timeline.ChannelSetting
	if err := json.Unmarshal(v.Body, &body); err != nil {
		return channel.Config{}, err
	}
	var c channel.Config
	if err := strict(body.Config, &c); err != nil {
		return c, err
	}
	if a.deps.OpenSecrets == nil {
		return c, errors.New("its secrets can't be opened here")
	}
	b, err := a.deps.OpenSecrets(v.Namespace, v.ID, body.Sealed)
	if err != nil {
		return c, errors.New("its secrets can't be opened: were they sealed under another command_key?")
	}
	var secrets ChannelSecrets
	if err := json.Unmarshal(b, &secrets); err != nil {
		return c, errors.New("its secrets can't be read")
	}
	c.Name, c.URL, c.Secrets, c.RoutingKey = v.ID, secrets.URL, secrets.Secrets, secrets.RoutingKey
	c.AllowPrivate = c.AllowPrivate && a.cfg.AllowPrivate
	return c, c.WithDefaults().Validate()
}

// operatorRules gives the rules that operators set and that can be in force
// beside the file's. The lock is held, or nothing runs yet.
func (a *Alerting) operatorRules(inFile []rule.Rule) (out []rule.Rule) {
	a.clearUnfit(timeline.SettingRule)
	taken := map[string]bool{}
	for i := range inFile {
		taken[inFile[i].Name] = true
	}
	for _, v := range a.set(timeline.SettingRule) {
		r, err := ParseRule(v.Namespace, v.Body)
		switch {
		case err != nil:
			a.unfits(v, "%s", oneLine(err))
		case taken[v.ID]:
			a.unfits(v, "the file of rules has one of this name")
		case len(out) >= maxOperatorRules:
			a.unfits(v, "there are more than %d rules", maxOperatorRules)
		default:
			out = append(out, r)
		}
	}
	return out
}

// ParseRule reads one rule in JSON, in the words of the file, that is set in a
// namespace. Its error joins a *[timeline.FieldError] for each fault.
func ParseRule(namespace string, b []byte) (rule.Rule, error) {
	r, err := rule.ParseOne(b)
	if err != nil {
		return r, err
	}
	if r.Kind == rule.StalledIngest && namespace != timeline.DefaultNamespace {
		return r, &timeline.FieldError{Field: "kind", Want: "stalled_ingest is about the whole installation: set it in the default namespace"}
	}
	return r.In(namespace), nil
}

// reconfigure puts channels and rules in force that operators changed.
func (a *Alerting) reconfigure() {
	a.mu.Lock()
	changed, f := a.changed && !a.closed, a.inFile
	a.mu.Unlock()
	if !changed {
		return
	}
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if err := a.replace(f); err != nil {
		a.cfg.Logger.Error("what operators set can't be put in force", "error", err)
	}
}

// RuleInfo is a rule as it is shown.
type RuleInfo struct {
	rule.Rule
	Source Source
	// Unfit says why it is not in force, empty where it is.
	Unfit string
}

// Rules lists the rules of the file and those that operators set.
func (a *Alerting) Rules() (out []RuleInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.inFile.rules.Rules {
		out = append(out, RuleInfo{Rule: r, Source: SourceFile})
	}
	for _, v := range a.set(timeline.SettingRule) {
		r, err := ParseRule(v.Namespace, v.Body)
		if err != nil {
			r = rule.Rule{Name: v.ID, Scope: v.Namespace}
		}
		out = append(out, RuleInfo{Rule: r, Source: SourceAPI, Unfit: a.unfit[v.key()]})
	}
	return out
}

// Severities gives what decides how loudly a failed task calls. It is not to be
// changed.
func (a *Alerting) Severities() rule.Severities {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failures.severities
}

// UnfitChannels gives, of the channels that operators set, those that are not in
// force, and why, by namespace and name.
func (a *Alerting) UnfitChannels() (out []ChannelStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, why := range a.unfit {
		if k.kind == timeline.SettingChannel {
			out = append(out, ChannelStats{Name: k.id, Namespace: k.namespace, Source: SourceAPI, Disabled: why})
		}
	}
	return out
}
