package query

import (
	"errors"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func (s *Server) alerts() (AlertReader, error) {
	if s.deps.Alerts == nil {
		return nil, unavailable("what raises alerts", nil)
	}
	return s.deps.Alerts, nil
}

func (s *Server) getAlerts(r *request) error {
	p := r.params
	states, parseState := words([]timeline.AlertState{timeline.AlertPending, timeline.AlertFiring, timeline.AlertResolved})
	filter := readmodel.AlertFilter{
		States:     enumList(p, "state", states, parseState),
		Severities: enumList(p, "severity", []string{"medium", "high", "critical"}, timeline.ParseAlertSeverity),
		Rules:      p.list("rule"), Types: p.list("type"), Queues: p.list("queue"), Agents: p.list("agent"), Providers: p.list("provider"),
		UserID: p.text("user_id", timeline.MaxNameBytes), TaskID: p.text("task_id", timeline.MaxTaskIDBytes),
		Acknowledged: p.choice("acknowledged"), Silenced: p.choice("silenced"), Text: p.text("text", maxTextBytes), Started: p.within("from", "to"),
	}
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	alerts, err := s.alerts()
	if err != nil {
		return err
	}
	if other := r.scope.UserID; other != "" && filter.UserID != "" && filter.UserID != other {
		return r.answer(fiber.StatusOK, listBody[readmodel.AlertRow]{Data: []readmodel.AlertRow{}})
	}
	rows, err := alerts.Alerts(r.ctx, r.scope, filter, page)
	if err != nil {
		return partFailure("what raises alerts", "list alerts", err)
	}
	for i := range rows.Rows {
		s.freshAlert(r.scope.Namespace, &rows.Rows[i])
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, func(a readmodel.AlertRow) readmodel.AlertRow { return a }))
}

// freshAlert lays an acknowledgement that this process wrote over an alert that
// does not show it yet.
func (s *Server) freshAlert(namespace string, a *readmodel.AlertRow) {
	if a.Acknowledged != nil {
		return
	}
	v, ok := s.settings.newer(settingKey{namespace, timeline.SettingAlertState, a.ID.String()}, 0)
	if !ok || v.Deleted {
		return
	}
	if ack, err := decodeSetting[readmodel.Acknowledgement](v); err == nil && ack.Holds(&a.Alert) {
		a.Acknowledged = &ack
	}
}

func (s *Server) alert(r *request) (readmodel.AlertRow, error) {
	id, err := r.pathID("an alert's id")
	if err != nil {
		return readmodel.AlertRow{}, err
	}
	alerts, err := s.alerts()
	if err != nil {
		return readmodel.AlertRow{}, err
	}
	a, err := alerts.Alert(r.ctx, r.scope, id)
	if err != nil {
		return a, partFailure("what raises alerts", "read alert", err)
	}
	s.freshAlert(r.scope.Namespace, &a)
	return a, nil
}

func (s *Server) getAlert(r *request) error {
	a, err := s.alert(r)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, a)
}

// acknowledgeAlert puts on record that somebody took the alert up. Doing so again
// replaces who and why.
func (s *Server) acknowledgeAlert(r *request, body []byte) (reply, error) {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	if err := checkReason(in.Reason); err != nil {
		return reply{}, err
	}
	a, err := s.alert(r)
	if err != nil {
		return reply{}, err
	}
	if a.State == timeline.AlertResolved {
		return reply{}, fail(codeAlertResolved, "it was resolved at %s", a.EndsAt.Format(time.RFC3339))
	}
	ack := readmodel.Acknowledgement{By: r.principal.ID, At: s.now().UTC(), Reason: in.Reason}
	r.audit = append(r.audit, "reason", in.Reason, "alert_id", a.ID.String())
	if _, err := s.set(r.ctx, r.scope.Namespace, timeline.SettingAlertState, a.ID.String(), ack, timeline.Operator{Actor: r.principal.ID, Reason: in.Reason}); err != nil {
		return reply{}, err
	}
	a.Acknowledged = &ack
	return reply{status: fiber.StatusOK, body: a}, nil
}

// partFailure is an error of a part the service stands on: not found is what it
// is, everything else means that the part does not answer.
func partFailure(part, what string, err error) error {
	if errors.Is(err, readmodel.ErrNotFound) {
		return fmt.Errorf("%s: %w", what, err)
	}
	var f *failure
	if errors.Is(err, ErrNoAlerting) {
		return &failure{code: codeUnavailable, detail: ErrNoAlerting.Error(), retryAfter: 5 * time.Second, cause: err}
	}
	if errors.As(readFailure(what, err), &f) {
		return unavailable(part, fmt.Errorf("%s: %w", what, err))
	}
	return fmt.Errorf("%s: %w", what, err)
}
