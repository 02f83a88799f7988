package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const (
	// auditTimeout bounds how long an answer waits for its record to be on disk.
	auditTimeout = 2 * time.Second
	// maxAuditText bounds a text of a record.
	maxAuditText = 1 << 10
	resultDone   = "accepted"
)

// AuditReader reads who changed what.
type AuditReader interface {
	// Audit lists the records of a namespace, the latest first.
	Audit(ctx context.Context, namespace string, filter readmodel.AuditFilter, page readmodel.Page) (readmodel.List[readmodel.AuditRecord], error)
}

// audited puts on record who changed what, also where it was refused: as a line of
// the log and, past the limits of rate, as a record that can be read. One that
// cannot be written changes nothing of the answer, and is counted.
func (s *Server) audited(r *request, err error) {
	rec := readmodel.AuditRecord{
		ID: s.ids.Next(s.now()), At: s.now().UTC(), Namespace: r.scope.Namespace, Actor: r.principal.ID, UserID: r.principal.UserID,
		Action: r.route.method + " " + r.route.path, Target: auditTarget(r.target()), Result: resultDone, Status: r.c.Response().StatusCode(),
		RequestID: r.id, Remote: r.c.IP(),
	}
	if err != nil {
		f := asFailure(err)
		rec.Status, rec.Result = statuses[f.code].status, string(f.code)
	}
	s.log.Info("audit", append([]any{
		"actor", rec.Actor, "user_id", rec.UserID, "action", rec.Action, "namespace", rec.Namespace,
		"target", printable(rec.Target), "status", rec.Status, "result", rec.Result, "request_id", rec.RequestID, "remote", rec.Remote,
	}, r.audit...)...)
	if s.deps.Writer == nil || rec.Result == string(codeRateLimited) {
		return
	}
	if rec.Namespace == "" { // refused before it was read
		rec.Namespace, _ = r.principal.InNamespace("", s.cfg.Namespace)
	}
	for i := 0; i+1 < len(r.audit); i += 2 {
		name, value := fmt.Sprint(r.audit[i]), auditText(fmt.Sprint(r.audit[i+1]))
		if name == "reason" {
			rec.Reason = value
		} else if value != "" {
			if rec.Details == nil {
				rec.Details = map[string]string{}
			}
			rec.Details[name] = value
		}
	}
	if err := s.writeAudit(rec); err != nil {
		s.metrics.unaudited.Inc()
		s.log.Error("a call is on record in the log alone", "error", err, "request_id", r.id)
	}
}

func (s *Server) writeAudit(rec readmodel.AuditRecord) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode audit record: %w", err)
	}
	// Neither the caller nor the time of its request ends this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), auditTimeout)
	defer cancel()
	set := timeline.Setting{Kind: timeline.SettingAudit, ID: rec.ID.String(), Version: timeline.NextVersion(0, rec.At), Body: body}
	e := timeline.NewSettingEvent(rec.Namespace, set, timeline.Operator{Actor: rec.Actor, Reason: rec.Reason}, rec.At)
	e.ID = rec.ID
	if err := s.deps.Writer.WriteEvents(ctx, rec.Namespace, []timeline.Event{e}); err != nil {
		return fmt.Errorf("write audit record: %w", err)
	}
	return nil
}

// auditTarget is what the path names, decoded where it can be.
func auditTarget(raw string) string {
	if v, err := url.PathUnescape(raw); err == nil {
		raw = v
	}
	return auditText(raw)
}

// auditText is a text from outside as a record holds it.
func auditText(v string) string {
	return strings.ToValidUTF8(v[:min(len(v), maxAuditText)], "\uFFFD")
}

func (s *Server) getAudit(r *request) error {
	p := r.params
	filter := readmodel.AuditFilter{
		Actor: p.text("actor", maxTextBytes), Action: p.text("action", maxTextBytes), Target: p.text("target", maxTextBytes),
		Results: p.list("result"), At: p.within("from", "to"),
	}
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	if s.deps.Audit == nil {
		return unavailable("the audit trail", nil)
	}
	rows, err := filled(page, filter.Matches, func(p readmodel.Page) (readmodel.List[readmodel.AuditRecord], error) {
		return s.deps.Audit.Audit(r.ctx, r.scope.Namespace, filter, p)
	}, func(a *readmodel.AuditRecord) readmodel.Position {
		return readmodel.Position{At: a.At, ID: a.ID.String()}
	})
	if err != nil {
		return readFailure("list audit records", err)
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, func(a readmodel.AuditRecord) readmodel.AuditRecord { return a }))
}
