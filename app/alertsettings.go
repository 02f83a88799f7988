package app

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// maxTrialFirings bounds what a trial of a rule tells.
const maxTrialFirings = 500

// alertSettings checks what operators set for alerting, and seals what is secret
// in it: whoever reads the settings reads no secret.
type alertSettings struct{ app *App }

// channelSeal encrypts the secrets of one channel, under a key that follows from
// the installation's and that opens no other channel's.
func (a *App) channelSeal(namespace, name string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(a.commandKey), nil, "alert channel\x00"+namespace+"\x00"+name, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a channel: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal a channel: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (a *App) openChannelSecrets(namespace, name string, sealed []byte) ([]byte, error) {
	aead, err := a.channelSeal(namespace, name)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed, nil)
}

// Channel makes the setting of a channel; see [query.AlertSettings].
func (s alertSettings) Channel(namespace, name string, body json.RawMessage, before *timeline.ChannelSetting, rotate bool) (timeline.ChannelSetting, string, error) {
	var given channel.Config
	if err := json.Unmarshal(body, &given); err != nil {
		_, err = alerting.ParseChannel(body) // in the words of a channel's reader
		return timeline.ChannelSetting{}, "", err
	}
	secret := ""
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return timeline.ChannelSetting{}, "", &timeline.FieldError{Want: "one JSON object"}
	}
	secrets := alerting.ChannelSecrets{URL: given.URL, Secrets: given.Secrets, RoutingKey: given.RoutingKey}
	if before != nil {
		old, err := s.secretsOf(namespace, name, before)
		if err != nil {
			return timeline.ChannelSetting{}, "", err
		}
		if sameType(before.Config, given.Type) {
			secrets.URL, secrets.RoutingKey = cmp.Or(secrets.URL, old.URL), cmp.Or(secrets.RoutingKey, old.RoutingKey)
			if len(secrets.Secrets) == 0 {
				secrets.Secrets = old.Secrets
			}
		}
	}
	if given.Type == channel.Webhook && (rotate || len(secrets.Secrets) == 0 && given.Body != channel.BodyAlertmanager) {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails: crypto/rand aborts the process instead
		secret = webhook.Secret(key)
		// Two at most: the new one and the one before it.
		secrets.Secrets = append([]string{secret}, secrets.Secrets[:min(len(secrets.Secrets), 1)]...)
	}
	for field, v := range map[string]any{"url": secrets.URL, "secrets": secrets.Secrets, "routing_key": secrets.RoutingKey} {
		delete(all, field)
		if b, err := json.Marshal(v); err == nil && string(b) != `""` && string(b) != "null" {
			all[field] = b
		}
	}
	whole, err := json.Marshal(all)
	if err != nil {
		return timeline.ChannelSetting{}, "", fmt.Errorf("encode a channel: %w", err)
	}
	c, err := alerting.ParseChannel(whole)
	if err != nil {
		return timeline.ChannelSetting{}, "", err
	}
	if c.AllowPrivate && !s.app.set.WebhookAllowPrivate {
		return timeline.ChannelSetting{}, "", &timeline.FieldError{Field: "allow_private", Want: "set webhook_allow_private where this service and its collectors are configured: whoever sets a channel over the API reaches no private address without"}
	}
	for _, field := range []string{"url", "secrets", "routing_key"} {
		delete(all, field)
	}
	out := timeline.ChannelSetting{Host: c.WithDefaults().Host()}
	if out.Config, err = json.Marshal(all); err != nil {
		return out, "", fmt.Errorf("encode a channel: %w", err)
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return out, "", fmt.Errorf("encode a channel's secrets: %w", err)
	}
	aead, err := s.app.channelSeal(namespace, name)
	if err != nil {
		return out, "", err
	}
	out.Sealed = aead.Seal(nil, nil, plain, nil)
	return out, secret, nil
}

func (s alertSettings) secretsOf(namespace, name string, v *timeline.ChannelSetting) (out alerting.ChannelSecrets, err error) {
	b, err := s.app.openChannelSecrets(namespace, name, v.Sealed)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return out, fmt.Errorf("open the secrets of channel %s: %w", name, err)
	}
	return out, nil
}

func sameType(config json.RawMessage, typ channel.Type) bool {
	var c struct {
		Type channel.Type `json:"type"`
	}
	return json.Unmarshal(config, &c) == nil && c.Type == typ
}

// Rule checks a rule.
func (s alertSettings) Rule(namespace string, body json.RawMessage) error {
	_, err := alerting.ParseRule(namespace, body)
	return err
}

// TryRule runs a rule over the stored past.
func (s alertSettings) TryRule(ctx context.Context, namespace string, body json.RawMessage, from, to time.Time) (readmodel.RuleTrial, error) {
	out := readmodel.RuleTrial{From: from, To: to, Firings: []readmodel.RuleFiring{}}
	r, err := alerting.ParseRule(namespace, body)
	if err != nil {
		return out, err
	}
	res, err := Replay(ctx, s.app.store, []rule.Rule{r}, from, to)
	if errors.Is(err, rule.ErrNotReplayable) {
		return out, &timeline.FieldError{Field: "kind", Want: rule.ErrNotReplayable.Error()}
	}
	if err != nil {
		return out, err
	}
	out.Events, out.Held = res.Events, res.Held[r.Name]
	slices.SortStableFunc(res.Firings, func(x, y rule.Firing) int { return y.FiredAt.Compare(x.FiredAt) })
	for i := range res.Firings {
		if i >= maxTrialFirings {
			out.Omitted = len(res.Firings) - i
			break
		}
		f := &res.Firings[i]
		out.Firings = append(out.Firings, readmodel.RuleFiring{
			FiredAt: f.FiredAt, EndedAt: f.EndedAt, Severity: f.Alert.Severity, Condition: f.Alert.Condition, Title: f.Alert.Title, Text: f.Alert.Text, TaskID: f.Alert.TaskID,
		})
	}
	return out, nil
}
