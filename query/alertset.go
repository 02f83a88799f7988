package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// maxChannels and maxRules bound those that are set in a namespace.
	maxChannels = 100
	maxRules    = 200
	// maxAlertNameBytes bounds their names.
	maxAlertNameBytes = 100
	// maxTried bounds how far back a rule is tried.
	maxTried = 366 * 24 * time.Hour
)

// alertBody is what an operator sets as a channel or a rule: the fields of the
// file of rules, and beside them what is not the channel's or the rule's.
type alertBody struct {
	name   string
	body   json.RawMessage
	reason string
	rotate bool
}

func (s *Server) readAlertBody(r *request, body []byte, mayRotate bool) (alertBody, error) {
	var b alertBody
	name, err := pathText("name", r.c.Params("name"), maxAlertNameBytes)
	if err != nil {
		return b, err
	}
	if b.name = name; strings.TrimSpace(name) != name || strings.ContainsAny(name, "/\n\r\t") {
		return b, invalid("name", "want a name without /, line breaks and blanks at its ends")
	}
	fields, err := checkBody(r.c.Get(fiber.HeaderContentType), body)
	if err != nil {
		return b, err
	}
	if fields == nil {
		return b, wrongBody("", "want one JSON object")
	}
	for field, raw := range fields {
		if bytes.Contains(raw, []byte(`\u0000`)) {
			return b, wrongBody(printable(field), "must not contain NUL")
		}
	}
	take := func(field string, into any, want string) error {
		raw, ok := fields[field]
		delete(fields, field)
		if ok && json.Unmarshal(raw, into) != nil {
			return wrongBody(field, "want %s", want)
		}
		return nil
	}
	said := name
	errs := []error{take("reason", &b.reason, "a string"), take("name", &said, "a string")}
	if mayRotate {
		errs = append(errs, take("rotate_secret", &b.rotate, "true or false"))
	}
	for _, err := range append(errs, checkReason(b.reason)) {
		if err != nil {
			return b, err
		}
	}
	if said != name {
		return b, wrongBody("name", "it is another one in the path")
	}
	fields["name"], _ = json.Marshal(name)
	b.body, err = json.Marshal(fields)
	return b, err
}

// asFieldFailure is what is wrong with a channel or a rule as the client is told:
// the first fault's field, and all of them in words.
func asFieldFailure(err error) error {
	var first *timeline.FieldError
	if !errors.As(err, &first) {
		return unavailable(channelPart, err)
	}
	all := []error{err}
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		all = many.Unwrap()
	}
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = printable(one.Error())
	}
	detail := printable(first.Want)
	if len(words) > 1 {
		detail = strings.Join(words, "; ")
	}
	return wrongBody(printable(first.Field), "%s", detail)
}

func (s *Server) alertSettings() (AlertSettings, error) {
	if s.deps.AlertSettings == nil {
		return nil, unavailable("what keeps channels and rules", nil)
	}
	return s.deps.AlertSettings, nil
}

// notInFile refuses a channel's or a rule's name that the configuration or its file
// of rules has.
func (s *Server) notInFile(r *request, kind, name string) error {
	part, err := s.channels()
	if err != nil {
		return err
	}
	inFile := false
	switch kind {
	case timeline.SettingChannel:
		var rows []readmodel.Channel
		rows, err = part.Channels(r.ctx)
		inFile = slices.ContainsFunc(rows, func(c readmodel.Channel) bool { return c.Name == name && c.Source != readmodel.FromAPI })
	case timeline.SettingRule:
		var book readmodel.AlertRules
		book, err = part.Rules(r.ctx)
		inFile = slices.ContainsFunc(book.Rules, func(c readmodel.AlertRule) bool { return c.Name == name && c.Source != readmodel.FromAPI })
	}
	switch {
	case err != nil:
		return partFailure(channelPart, "list "+kind+"s", err)
	case inFile:
		return fail(codeSetInFile, "%s %q stands in the configuration or its file of alert rules: change it there, or take another name", kind, printable(name))
	}
	return nil
}

// withChannelSettings lays what is set over what the channels' processes tell:
// what they do not know yet is shown, and what was deleted is not.
func withChannelSettings(rows []readmodel.Channel, set []timeline.StoredSetting, namespace string) []readmodel.Channel {
	out := []readmodel.Channel{}
	known := map[string]readmodel.Channel{}
	for _, c := range rows {
		switch {
		case c.Source != readmodel.FromAPI:
			out = append(out, c)
		case c.Namespace == namespace:
			known[c.Name] = c
		}
	}
	for _, v := range set {
		body, err := decodeSetting[timeline.ChannelSetting](v)
		if err != nil {
			continue
		}
		var config struct {
			Type        string                 `json:"type"`
			MinSeverity timeline.AlertSeverity `json:"min_severity"`
			Off         bool                   `json:"off"`
		}
		_ = json.Unmarshal(body.Config, &config)
		c := known[v.ID]
		c.Name, c.Type, c.Target, c.MinSeverity, c.Namespace, c.Source = v.ID, config.Type, body.Host, config.MinSeverity, namespace, readmodel.FromAPI
		if config.Off {
			c.Disabled = "it is switched off"
		}
		c.Config, c.ChangedAt, c.ChangedBy = body.Config, v.ChangedAt, v.Operator.Actor
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b readmodel.Channel) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// channelView is a channel as it is answered to its change: the secret stands in
// the first answer to its making alone.
type channelView struct {
	readmodel.Channel
	Secret string `json:"secret,omitempty"`
}

func (s *Server) putChannel(r *request, body []byte) (reply, error) {
	in, err := s.readAlertBody(r, body, true)
	if err != nil {
		return reply{}, err
	}
	settings, err := s.alertSettings()
	if err != nil {
		return reply{}, err
	}
	stored, err := s.settings.latest(r.ctx, r.scope.Namespace, timeline.SettingChannel, in.name)
	if err != nil {
		return reply{}, err
	}
	var before *timeline.ChannelSetting
	if stored.Version > 0 && !stored.Deleted {
		old, err := decodeSetting[timeline.ChannelSetting](stored)
		if err != nil {
			return reply{}, err
		}
		before = &old
	} else if err := s.roomFor(r, timeline.SettingChannel, maxChannels); err != nil {
		return reply{}, err
	}
	next, secret, err := settings.Channel(r.scope.Namespace, in.name, in.body, before, in.rotate)
	if err != nil {
		return reply{}, asFieldFailure(err)
	}
	if err := s.notInFile(r, timeline.SettingChannel, in.name); err != nil {
		return reply{}, err
	}
	r.audit = append(r.audit, "reason", in.reason, "channel", printable(in.name), "secret_new", secret != "")
	v, err := s.setAfter(r.ctx, r.scope.Namespace, timeline.SettingChannel, in.name, stored.Version, next, timeline.Operator{Actor: r.principal.ID, Reason: in.reason})
	if err != nil {
		return reply{}, err
	}
	again := channelView{Channel: withChannelSettings(nil, []timeline.StoredSetting{v}, r.scope.Namespace)[0]}
	shown := again
	shown.Secret = secret
	return reply{status: createdWhere(before == nil), location: s.withNamespace(r.scope, base+"/channels"), body: shown, again: again}, nil
}

func createdWhere(made bool) int {
	if made {
		return fiber.StatusCreated
	}
	return fiber.StatusOK
}

// roomFor refuses what would be one too many of a kind in a namespace.
func (s *Server) roomFor(r *request, kind string, most int) error {
	all, err := s.settings.all(r.ctx, r.scope.Namespace, kind)
	if err == nil && len(all) >= most {
		return fail(codeTooMany, "there are %d, the limit of a namespace", len(all))
	}
	return err
}

func (s *Server) deleteChannel(r *request, _ []byte) (reply, error) {
	return s.deleteAlertSetting(r, timeline.SettingChannel)
}

// deleteAlertSetting deletes what was set; what stands in the configuration is
// told so.
func (s *Server) deleteAlertSetting(r *request, kind string) (reply, error) {
	name, err := pathText("name", r.c.Params("name"), maxAlertNameBytes)
	if err != nil {
		return reply{}, err
	}
	v, err := s.settings.one(r.ctx, r.scope.Namespace, kind, name)
	if errors.Is(err, readmodel.ErrNotFound) {
		if err := s.notInFile(r, kind, name); err != nil {
			return reply{}, err
		}
	}
	if err != nil {
		return reply{}, err
	}
	r.audit = append(r.audit, kind, printable(name))
	_, err = s.setAfter(r.ctx, r.scope.Namespace, kind, name, v.Version, nil, timeline.Operator{Actor: r.principal.ID})
	return reply{status: fiber.StatusNoContent}, err
}
