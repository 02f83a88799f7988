package query

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// bulkView is a bulk action as it is shown.
type bulkView struct {
	ID           string          `json:"id"`
	Action       string          `json:"action"`
	Status       bulkStatus      `json:"status"`
	StatusReason string          `json:"status_reason,omitempty"`
	Reason       string          `json:"reason,omitempty"`
	CreatedBy    string          `json:"created_by"`
	CreatedAt    time.Time       `json:"created_at"`
	UpdatedAt    time.Time       `json:"updated_at"`
	EndedAt      time.Time       `json:"ended_at,omitzero"`
	Filter       json.RawMessage `json:"filter,omitempty"`
	Rate         float64         `json:"rate_per_second"`
	Canary       int             `json:"canary"`
	Stop         bulkStop        `json:"stop"`
	Progress     bulkProgress    `json:"progress"`
}

func viewBulk(h bulkHeader, p bulkProgress) bulkView {
	if h.Progress != nil {
		p = *h.Progress
	}
	return bulkView{h.ID, h.Action, h.Status, h.StatusReason, h.Reason, h.CreatedBy, h.CreatedAt, h.UpdatedAt, h.EndedAt, h.Filter, h.Rate, h.Canary, h.Stop, p}
}

// bulkProgressOf is how far a bulk action is, as far as that is on record.
func (s *Server) bulkProgressOf(ctx context.Context, namespace string, h bulkHeader) (bulkProgress, error) {
	if h.Progress != nil {
		return *h.Progress, nil
	}
	if p, ok := s.bulks.progress(namespace, h.ID); ok {
		return p, nil
	}
	v, err := s.settings.one(ctx, namespace, bulkKind(h.ID), bulkProgressRecord)
	if errors.Is(err, readmodel.ErrNotFound) {
		return bulkProgress{Total: h.Total, Waiting: h.Total}, nil
	}
	if err != nil {
		return bulkProgress{}, err
	}
	return decodeSetting[bulkProgress](v)
}

func (s *Server) getBulks(r *request) error {
	names, parse := words(bulkStatuses())
	statuses := enumList(r.params, "status", names, parse)
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	rows, err := s.settings.all(r.ctx, r.scope.Namespace, timeline.SettingBulk)
	if err != nil {
		return err
	}
	var all []bulkHeader
	for _, v := range rows {
		h, err := decodeSetting[bulkHeader](v)
		if err != nil {
			s.log.Warn("a bulk action cannot be read", "error", err)
			continue
		}
		if (r.scope.UserID == "" || h.UserID == r.scope.UserID) && (len(statuses) == 0 || slices.Contains(statuses, h.Status)) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b bulkHeader) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	list := readmodel.PageOf(all, page, func(h *bulkHeader) readmodel.Position { return readmodel.Position{At: h.CreatedAt, ID: h.ID} })
	out := listBody[bulkView]{Data: make([]bulkView, 0, len(list.Rows))}
	shell := listOf(s, hash, list, func(h bulkHeader) bulkHeader { return h })
	out.NextCursor, out.PrevCursor = shell.NextCursor, shell.PrevCursor
	for _, h := range list.Rows {
		p, err := s.bulkProgressOf(r.ctx, r.scope.Namespace, h)
		if err != nil {
			return err
		}
		out.Data = append(out.Data, viewBulk(h, p))
	}
	return r.answer(fiber.StatusOK, out)
}

func (s *Server) bulk(r *request) (bulkHeader, uint64, error) {
	id, err := r.pathID("a bulk action's id")
	if err != nil {
		return bulkHeader{}, 0, err
	}
	return s.bulkHeader(r.ctx, r.scope, id.String())
}

func (s *Server) getBulk(r *request) error {
	h, _, err := s.bulk(r)
	if err != nil {
		return err
	}
	p, err := s.bulkProgressOf(r.ctx, r.scope.Namespace, h)
	if err != nil {
		return err
	}
	return r.answer(fiber.StatusOK, viewBulk(h, p))
}

// bulkItemView is one item of a bulk action as it is shown.
type bulkItemView struct {
	Index        int         `json:"index"`
	DeadLetterID timeline.ID `json:"dead_letter_id"`
	TaskID       string      `json:"task_id"`
	Run          int         `json:"run"`
	Status       itemStatus  `json:"status"`
	NextRun      int         `json:"next_run,omitempty"`
	Code         string      `json:"code,omitempty"`
	Detail       string      `json:"detail,omitempty"`
	At           time.Time   `json:"at,omitzero"`
}

func (s *Server) getBulkItems(r *request) error {
	names, parse := words(itemStatuses())
	statuses := enumList(r.params, "status", names, parse)
	page, hash, err := s.page(r, r.c.Params("id"))
	if err != nil {
		return err
	}
	h, _, err := s.bulk(r)
	if err != nil {
		return err
	}
	b, ok := s.bulks.snapshot(r.scope.Namespace, h.ID)
	if !ok {
		if b, err = s.loadBulk(r.ctx, r.scope.Namespace, h); err != nil {
			return partFailure("the items of the bulk action", "read bulk action", err)
		}
	}
	var all []bulkItemView
	for i, item := range b.items {
		res := b.results[i]
		if len(statuses) == 0 || slices.Contains(statuses, res.Status) {
			all = append(all, bulkItemView{i, item.DeadLetter, item.TaskID, item.Run, res.Status, res.NextRun, res.Code, res.Detail, res.At})
		}
	}
	// Items stand in the order they are worked on: the position falls as it rises.
	list := readmodel.PageOf(all, page, func(v *bulkItemView) readmodel.Position {
		return readmodel.Position{At: time.Unix(0, int64(len(b.items)-v.Index)), ID: strconv.Itoa(v.Index)}
	})
	return r.answer(fiber.StatusOK, listOf(s, hash, list, func(v bulkItemView) bulkItemView { return v }))
}

// bulkControl makes the handler that pauses, resumes or aborts a bulk action.
// Asking for what it already is changes nothing.
func (s *Server) bulkControl(to bulkStatus) func(*request, []byte) (reply, error) {
	return func(r *request, body []byte) (reply, error) {
		var in struct {
			Reason string `json:"reason"`
		}
		if err := decodeBody(r, body, &in); err != nil {
			return reply{}, err
		}
		if err := checkReason(in.Reason); err != nil {
			return reply{}, err
		}
		h, version, err := s.bulk(r)
		if err != nil {
			return reply{}, err
		}
		p, err := s.bulkProgressOf(r.ctx, r.scope.Namespace, h)
		if err != nil {
			return reply{}, err
		}
		r.audit = append(r.audit, "reason", in.Reason, "from", h.Status)
		switch {
		case h.Status == to:
		case h.Status.ended():
			return reply{}, fail(codeBulkEnded, "it is %s", h.Status)
		case to == bulkPaused && h.Status == bulkStopped:
			// It stands still already, and why is worth keeping.
		default:
			h.Status, h.UpdatedAt = to, s.now().UTC()
			h.StatusReason = in.Reason
			if h.StatusReason == "" && to != bulkRunning {
				h.StatusReason = "by " + r.principal.ID
			}
			if to.ended() {
				h.EndedAt = h.UpdatedAt
			}
			if to == bulkRunning {
				h.PastFinished, h.PastFailed = p.Succeeded+p.Failed, p.Failed
			}
			by := timeline.Operator{Actor: r.principal.ID, Reason: in.Reason}
			if _, err := s.setAfter(r.ctx, r.scope.Namespace, timeline.SettingBulk, h.ID, version, h, by); err != nil {
				return reply{}, err
			}
			s.bulks.control(r.scope.Namespace, h)
		}
		return reply{status: fiber.StatusOK, body: viewBulk(h, p)}, nil
	}
}
