package query

import (
	"context"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// The statuses of an error group.
const (
	groupOpen     = "open"
	groupResolved = "resolved"
	groupIgnored  = "ignored"
	// groupRegressed: it was resolved and seen again since. Nobody sets it.
	groupRegressed = "regressed"
)

// errorGroupState is the body of a setting of kind error_group, whose id is the
// fingerprint.
type errorGroupState struct {
	Status string    `json:"status"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// errorGroupView is an error group and what people decided about it.
type errorGroupView struct {
	readmodel.ErrorGroup
	Status string `json:"status"`
	// Decision is who decided on the status, when and why; nil where nobody did.
	Decision *errorGroupState `json:"decision,omitempty"`
}

func viewErrorGroup(g readmodel.ErrorGroup, states map[string]errorGroupState) errorGroupView {
	if g.Types == nil {
		g.Types = []string{}
	}
	if g.Queues == nil {
		g.Queues = []string{}
	}
	v := errorGroupView{ErrorGroup: g, Status: groupOpen}
	if state, ok := states[g.Fingerprint]; ok {
		v.Status, v.Decision = state.Status, &state
		if state.Status == groupResolved && g.LastSeen.After(state.At) {
			v.Status = groupRegressed
		}
	}
	return v
}

// errorGroupStates are the decisions on record, by fingerprint. Where settings
// cannot be read every group is open.
func (s *Server) errorGroupStates(ctx context.Context, scope readmodel.Scope) (map[string]errorGroupState, error) {
	if s.deps.Settings == nil {
		return nil, nil
	}
	rows, err := s.settings.all(ctx, scope.Namespace, timeline.SettingErrorGroup)
	if err != nil {
		return nil, err
	}
	states := make(map[string]errorGroupState, len(rows))
	for _, v := range rows {
		state, err := decodeSetting[errorGroupState](v)
		if err != nil {
			s.log.Warn("a decision on an error group cannot be read", "error", err)
			continue
		}
		if scope.UserID != "" {
			// Who decided and why is the operators' business.
			state.By, state.Reason = "", ""
		}
		states[v.ID] = state
	}
	return states, nil
}

func (s *Server) getErrors(r *request) error {
	within := r.params.within("from", "to")
	names := []string{groupOpen, groupResolved, groupIgnored, groupRegressed}
	statuses := enumList(r.params, "status", names, func(v string) (string, bool) { return v, slices.Contains(names, v) })
	page, hash, err := s.page(r)
	if err != nil {
		return err
	}
	states, err := s.errorGroupStates(r.ctx, r.scope)
	if err != nil {
		return err
	}
	filter := readmodel.ErrorFilter{Seen: within}
	narrowErrors(&filter, statuses, states)
	view := func(g readmodel.ErrorGroup) errorGroupView { return viewErrorGroup(g, states) }
	// Whether a group came back after it was resolved is for its last failure to say.
	keep := func(g *readmodel.ErrorGroup) bool {
		return len(statuses) == 0 || slices.Contains(statuses, view(*g).Status)
	}
	rows, err := filled(page, keep, func(p readmodel.Page) (readmodel.List[readmodel.ErrorGroup], error) {
		return s.deps.Reader.Errors(r.ctx, r.scope, filter, p)
	}, func(g *readmodel.ErrorGroup) readmodel.Position {
		return readmodel.Position{At: g.LastSeen, ID: g.Fingerprint}
	})
	if err != nil {
		return readFailure("list errors", err)
	}
	return r.answer(fiber.StatusOK, listOf(s, hash, rows, view))
}

// narrowErrors has the reader leave out the groups that people decided on so that
// they can't have one of the statuses, and where only decided ones can all others.
func narrowErrors(filter *readmodel.ErrorFilter, statuses []string, states map[string]errorGroupState) {
	if len(statuses) == 0 {
		return
	}
	undecided := slices.Contains(statuses, groupOpen)
	if !undecided {
		filter.Among = []string{}
	}
	for fingerprint, state := range states {
		may := slices.Contains(statuses, state.Status) || (state.Status == groupResolved && slices.Contains(statuses, groupRegressed))
		switch {
		case may && !undecided:
			filter.Among = append(filter.Among, fingerprint)
		case !may && undecided:
			filter.Without = append(filter.Without, fingerprint)
		}
	}
}

// errorGroupChange makes the handler that puts a decision on an error group on
// record. A fingerprint nobody saw yet may be decided on too: it is the errors to
// come that are meant.
func (s *Server) errorGroupChange(status string) func(*request, []byte) (reply, error) {
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
		fingerprint, err := pathText("fingerprint", r.c.Params("fingerprint"), timeline.MaxNameBytes)
		if err != nil {
			return reply{}, err
		}
		state := errorGroupState{Status: status, By: r.principal.ID, At: s.now().UTC(), Reason: in.Reason}
		r.audit = append(r.audit, "reason", in.Reason)
		if _, err := s.set(r.ctx, r.scope.Namespace, timeline.SettingErrorGroup, fingerprint, state, timeline.Operator{Actor: state.By, Reason: in.Reason}); err != nil {
			return reply{}, err
		}
		return reply{status: fiber.StatusOK, body: struct {
			Fingerprint string          `json:"fingerprint"`
			Status      string          `json:"status"`
			Decision    errorGroupState `json:"decision"`
		}{fingerprint, status, state}}, nil
	}
}
