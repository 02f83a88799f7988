package query

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// maxSilence bounds how long a silence lasts: one that is forgotten ends.
	maxSilence = 365 * 24 * time.Hour
	// maxSilences bounds those of a namespace.
	maxSilences = 1_000
)

// silenceView is a silence as it is shown.
type silenceView struct {
	readmodel.Silence
	// State is pending, active or expired.
	State string `json:"state"`
}

func (s *Server) viewSilence(v readmodel.Silence) silenceView {
	state, now := "active", s.now()
	switch {
	case now.Before(v.StartsAt):
		state = "pending"
	case !v.In(now):
		state = "expired"
	}
	return silenceView{v, state}
}

// silenceBody is what an operator asks for. Either ends_at or duration.
type silenceBody struct {
	Match    readmodel.AlertMatch `json:"match"`
	StartsAt time.Time            `json:"starts_at"`
	EndsAt   time.Time            `json:"ends_at"`
	Duration string               `json:"duration"`
	Reason   string               `json:"reason"`
}

// silence checks what was asked for, at the time now.
func (b silenceBody) silence(now time.Time) (readmodel.Silence, error) {
	v := readmodel.Silence{Match: b.Match, StartsAt: b.StartsAt.UTC(), EndsAt: b.EndsAt.UTC(), Reason: b.Reason}
	if v.StartsAt.IsZero() {
		v.StartsAt = now
	}
	if b.Duration != "" {
		d, err := parseDuration(b.Duration)
		if err != nil || d <= 0 {
			return v, wrongBody("duration", "want a duration such as 90s, 1h30m or 7d")
		}
		if !b.EndsAt.IsZero() {
			return v, wrongBody("duration", "give ends_at or duration, not both")
		}
		v.EndsAt = v.StartsAt.Add(d)
	}
	switch {
	case v.Match.Empty():
		return v, wrongBody("match", "name at least one of rule, severity, type, queue, agent, provider, reason, user_id, task_id: an empty match would silence everything")
	case v.EndsAt.IsZero():
		return v, wrongBody("ends_at", "give ends_at or duration")
	case !v.EndsAt.After(v.StartsAt):
		return v, wrongBody("ends_at", "must be later than starts_at")
	case !v.EndsAt.After(now):
		return v, wrongBody("ends_at", "must be in the future")
	case v.EndsAt.Sub(v.StartsAt) > maxSilence:
		return v, wrongBody("ends_at", "a silence lasts at most 365d")
	case v.StartsAt.Year() < 1971 || v.EndsAt.Year() > 2261:
		return v, wrongBody("starts_at", "want a time of the years 1971 to 2261")
	case v.Reason == "":
		return v, wrongBody("reason", "say why: whoever is on call next reads it")
	}
	if err := checkMatch(v.Match); err != nil {
		return v, err
	}
	return v, checkReason(v.Reason)
}

func checkMatch(m readmodel.AlertMatch) error {
	for name, values := range map[string][]string{"rule": m.Rules, "type": m.Types, "queue": m.Queues, "agent": m.Agents, "provider": m.Providers} {
		if len(values) > maxListItems {
			return wrongBody("match", "%s: %d values, the limit is %d", name, len(values), maxListItems)
		}
		for _, v := range values {
			if v == "" || len(v) > timeline.MaxNameBytes {
				return wrongBody("match", "%s: a value has 1 to %d bytes", name, timeline.MaxNameBytes)
			}
		}
	}
	for _, reason := range m.Reasons {
		if !slices.Contains(timeline.FailureReasons(), reason) {
			return wrongBody("match", "reason: %q is not one of: %v", printable(string(reason)), timeline.FailureReasons())
		}
	}
	if len(m.Severities) > maxListItems || len(m.Reasons) > maxListItems || len(m.UserID) > timeline.MaxNameBytes || len(m.TaskID) > timeline.MaxTaskIDBytes {
		return wrongBody("match", "a list has at most %d values, an id %d bytes", maxListItems, timeline.MaxTaskIDBytes)
	}
	return nil
}

func decodeSetting[T any](v timeline.StoredSetting) (T, error) {
	var out T
	if err := json.Unmarshal(v.Body, &out); err != nil {
		return out, fmt.Errorf("setting %s %s: %w", v.Kind, v.ID, err)
	}
	return out, nil
}

func (s *Server) silences(r *request) ([]readmodel.Silence, error) {
	rows, err := s.settings.all(r.ctx, r.scope.Namespace, timeline.SettingSilence)
	if err != nil {
		return nil, err
	}
	var all []readmodel.Silence
	for _, v := range rows {
		one, err := decodeSetting[readmodel.Silence](v)
		if err != nil {
			s.log.Warn("a silence cannot be read", "error", err)
			continue
		}
		one.ID = v.ID
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b readmodel.Silence) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return all, nil
}

func (s *Server) getSilences(r *request) error {
	states := enumList(r.params, "state", []string{"pending", "active", "expired"}, func(v string) (string, bool) {
		return v, v == "pending" || v == "active" || v == "expired"
	})
	if err := r.params.err(); err != nil {
		return err
	}
	all, err := s.silences(r)
	if err != nil {
		return err
	}
	out := listBody[silenceView]{Data: []silenceView{}}
	for _, one := range all {
		if v := s.viewSilence(one); len(states) == 0 || slices.Contains(states, v.State) {
			out.Data = append(out.Data, v)
		}
	}
	return r.answer(fiber.StatusOK, out)
}

func (s *Server) silence(r *request) (readmodel.Silence, error) {
	id, err := r.pathID("a silence's id")
	if err != nil {
		return readmodel.Silence{}, err
	}
	v, err := s.settings.one(r.ctx, r.scope.Namespace, timeline.SettingSilence, id.String())
	if err != nil {
		return readmodel.Silence{}, err
	}
	one, err := decodeSetting[readmodel.Silence](v)
	one.ID = v.ID
	return one, err
}

func (s *Server) getSilence(r *request) error {
	one, err := s.silence(r)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, s.viewSilence(one))
}

func (s *Server) postSilence(r *request, body []byte) (reply, error) {
	var in silenceBody
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	now := s.now().UTC()
	v, err := in.silence(now)
	if err != nil {
		return reply{}, err
	}
	all, err := s.silences(r)
	if err != nil {
		return reply{}, err
	}
	if len(all) >= maxSilences {
		return reply{}, fail(codeTooMany, "there are %d silences, the limit; delete those that expired", len(all))
	}
	v.ID, v.CreatedBy, v.CreatedAt = s.ids.Next(now).String(), r.principal.ID, now
	return s.putSilenceAt(r, v, fiber.StatusCreated)
}

func (s *Server) putSilence(r *request, body []byte) (reply, error) {
	var in silenceBody
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	old, err := s.silence(r)
	if err != nil {
		return reply{}, err
	}
	if in.StartsAt.IsZero() {
		in.StartsAt = old.StartsAt
	}
	v, err := in.silence(s.now().UTC())
	if err != nil {
		return reply{}, err
	}
	v.ID, v.CreatedBy, v.CreatedAt = old.ID, old.CreatedBy, old.CreatedAt
	return s.putSilenceAt(r, v, fiber.StatusOK)
}

func (s *Server) putSilenceAt(r *request, v readmodel.Silence, status int) (reply, error) {
	r.audit = append(r.audit, "reason", v.Reason, "silence_id", v.ID)
	if _, err := s.set(r.ctx, r.scope.Namespace, timeline.SettingSilence, v.ID, v, timeline.Operator{Actor: r.principal.ID, Reason: v.Reason}); err != nil {
		return reply{}, err
	}
	return reply{status: status, location: s.withNamespace(r.scope, base+"/silences/"+v.ID), body: s.viewSilence(v)}, nil
}

func (s *Server) deleteSilence(r *request, _ []byte) (reply, error) {
	old, err := s.silence(r)
	if err != nil {
		return reply{}, err
	}
	_, err = s.set(r.ctx, r.scope.Namespace, timeline.SettingSilence, old.ID, nil, timeline.Operator{Actor: r.principal.ID})
	return reply{status: fiber.StatusNoContent}, err
}
