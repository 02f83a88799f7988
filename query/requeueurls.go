package query

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// formerSecretFor is how long calls are signed with the secret before, too, so that
// a receiver can be given the new one meanwhile.
const formerSecretFor = 24 * time.Hour

// requeueView is a re-enqueue URL as it is shown.
type requeueView struct {
	Queue      string    `json:"queue"`
	URL        string    `json:"url"`
	KeepsInput bool      `json:"keeps_input"`
	ChangedAt  time.Time `json:"changed_at"`
	ChangedBy  string    `json:"changed_by,omitempty"`
	// FormerSecretUntil is until when calls are signed with the secret before, too.
	FormerSecretUntil time.Time `json:"former_secret_until,omitzero"`
	// RequeueState is how the latest calls went; absent where none was made, or it is
	// not known.
	*readmodel.RequeueState
	// Secret stands in the first answer to its making alone.
	Secret string `json:"secret,omitempty"`
}

func (s *Server) viewRequeue(v timeline.StoredSetting, u timeline.RequeueURL) requeueView {
	out := requeueView{Queue: v.ID, URL: u.URL, KeepsInput: u.KeepsInput, ChangedAt: v.ChangedAt, ChangedBy: v.Operator.Actor}
	if s.now().Before(u.FormerUntil) {
		out.FormerSecretUntil = u.FormerUntil
	}
	return out
}

func (s *Server) getRequeueURLs(r *request) error {
	if err := r.params.err(); err != nil {
		return err
	}
	rows, err := s.settings.all(r.ctx, r.scope.Namespace, timeline.SettingRequeueURL)
	if err != nil {
		return err
	}
	var states map[string]readmodel.RequeueState
	if s.deps.RequeueStates != nil {
		if states, err = s.deps.RequeueStates.RequeueStates(r.ctx, r.scope.Namespace); err != nil {
			s.log.Warn("look how re-enqueue URLs answer", "error", err)
		}
	}
	out := listBody[requeueView]{Data: []requeueView{}}
	for _, v := range rows {
		u, err := decodeSetting[timeline.RequeueURL](v)
		if err != nil {
			s.log.Warn("a re-enqueue URL cannot be read", "error", err)
			continue
		}
		view := s.viewRequeue(v, u)
		// Calls before the latest change may have gone elsewhere.
		if state, ok := states[v.ID]; ok && (state.DeliveredAt.After(v.ChangedAt) || state.ErrorAt.After(v.ChangedAt)) {
			view.RequeueState = &state
		}
		out.Data = append(out.Data, view)
	}
	return r.answer(fiber.StatusOK, out)
}

// putRequeueURL registers where the retries of a queue are posted. The secret they
// are signed with stays the same when the URL changes, unless a new one is asked for.
func (s *Server) putRequeueURL(r *request, body []byte) (reply, error) {
	queue, err := pathText("queue", r.c.Params("queue"), timeline.MaxNameBytes)
	if err != nil {
		return reply{}, err
	}
	var in struct {
		URL          string `json:"url"`
		KeepsInput   bool   `json:"keeps_input"`
		RotateSecret bool   `json:"rotate_secret"`
		Reason       string `json:"reason"`
	}
	if err := decodeBody(r, body, &in); err != nil {
		return reply{}, err
	}
	if err := checkReason(in.Reason); err != nil {
		return reply{}, err
	}
	next := timeline.RequeueURL{URL: in.URL, KeepsInput: in.KeepsInput}
	if err := next.Validate(); err != nil {
		var field *timeline.FieldError
		if errors.As(err, &field) {
			return reply{}, wrongBody(field.Field, "want %s", field.Want)
		}
		return reply{}, err
	}
	if s.deps.RequeueSecret == nil {
		return reply{}, unavailable("what signs calls", nil)
	}
	before, err := s.settings.latest(r.ctx, r.scope.Namespace, timeline.SettingRequeueURL, queue)
	if err != nil {
		return reply{}, err
	}
	made := before.Version == 0 || before.Deleted
	if !made {
		old, err := decodeSetting[timeline.RequeueURL](before)
		if err != nil {
			return reply{}, err
		}
		next.Salt, next.FormerSalt, next.FormerUntil = old.Salt, old.FormerSalt, old.FormerUntil
	}
	fresh := made || in.RotateSecret
	if fresh {
		next.FormerSalt, next.FormerUntil = next.Salt, time.Time{}
		if next.FormerSalt != "" {
			next.FormerUntil = s.now().UTC().Add(formerSecretFor)
		}
		next.Salt = newSalt()
	}
	secret, err := s.deps.RequeueSecret(r.scope.Namespace, queue, next.Salt)
	if err != nil {
		return reply{}, unavailable("what signs calls", err)
	}
	by := timeline.Operator{Actor: r.principal.ID, Reason: in.Reason}
	r.audit = append(r.audit, "queue", queue, "secret_new", fresh)
	stored, err := s.setAfter(r.ctx, r.scope.Namespace, timeline.SettingRequeueURL, queue, before.Version, next, by)
	if err != nil {
		return reply{}, err
	}
	again := s.viewRequeue(stored, next)
	shown := again
	status := fiber.StatusOK
	if made {
		status = fiber.StatusCreated
	}
	if fresh {
		shown.Secret = secret
	}
	return reply{status: status, location: base + "/requeue-urls", body: shown, again: again}, nil
}

func newSalt() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return hex.EncodeToString(b[:])
}

// deleteRequeueURL leaves a queue without one. Retries that wait for it go on
// waiting.
func (s *Server) deleteRequeueURL(r *request, _ []byte) (reply, error) {
	queue, err := pathText("queue", r.c.Params("queue"), timeline.MaxNameBytes)
	if err != nil {
		return reply{}, err
	}
	v, err := s.settings.one(r.ctx, r.scope.Namespace, timeline.SettingRequeueURL, queue)
	if err != nil {
		return reply{}, err
	}
	r.audit = append(r.audit, "queue", queue)
	if _, err := s.setAfter(r.ctx, r.scope.Namespace, timeline.SettingRequeueURL, queue, v.Version, nil, timeline.Operator{Actor: r.principal.ID}); err != nil {
		return reply{}, err
	}
	return reply{status: fiber.StatusNoContent}, nil
}

// requeueURL returns where the retries of a queue are posted, nil where nothing is
// registered.
func (s *Server) requeueURL(ctx context.Context, namespace, queue string) (*timeline.RequeueURL, error) {
	if s.deps.Settings == nil || queue == "" {
		return nil, nil
	}
	v, err := s.settings.one(ctx, namespace, timeline.SettingRequeueURL, queue)
	if errors.Is(err, readmodel.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := decodeSetting[timeline.RequeueURL](v)
	if err != nil {
		return nil, err
	}
	return &u, nil
}
