package sidecar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// answerTimeout bounds how long a caller may take to read an answer.
const answerTimeout = 30 * time.Second

// cancelWait is how long a cancel waits for the task to stop before it answers
// that it was only asked for.
const cancelWait = 2 * time.Second

type httpStats struct{ requests, refused, hungUp atomic.Uint64 }

// view is a task as the API shows it.
type view struct {
	TaskID        string                 `json:"task_id"`
	Run           int                    `json:"run"`
	State         timeline.State         `json:"state"`
	NextAttemptAt *time.Time             `json:"next_attempt_at,omitempty"`
	Attempts      int                    `json:"attempts,omitempty"`
	Output        timeline.Payload       `json:"output,omitzero"`
	Reason        timeline.FailureReason `json:"reason,omitempty"`
	Error         string                 `json:"error,omitempty"`
	DeadLetterID  timeline.ID            `json:"dead_letter_id,omitzero"`
	EndedAt       *time.Time             `json:"ended_at,omitempty"`
	Link          string                 `json:"link"`
}

func link(id string) string { return "/v1/tasks/" + url.PathEscape(id) }

func httpLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

// handler is the whole API.
func (s *Sidecar) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/tasks", s.guarded(s.postTask))
	mux.Handle("GET /v1/tasks/{id}", s.guarded(s.getTask))
	mux.Handle("DELETE /v1/tasks/{id}", s.guarded(s.deleteTask))
	mux.Handle("POST /v1/tasks/{id}/progress", s.answered(s.postProgress)) // its URL is its token
	mux.Handle("/v1/tasks", s.answered(notWith("POST")))
	mux.Handle("/v1/tasks/{id}", s.answered(notWith("GET, DELETE")))
	mux.Handle("/v1/tasks/{id}/progress", s.answered(notWith("POST")))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.Handle("/", s.answered(func(http.ResponseWriter, *http.Request) error { return problemOf(codeNoRoute, "") }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The answer before this one on the connection may have left its deadline.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		mux.ServeHTTP(w, r)
	})
}

type route func(w http.ResponseWriter, r *http.Request) error

func notWith(allow string) route {
	return func(http.ResponseWriter, *http.Request) error {
		p := problemOf(codeMethod, "allowed: %s", allow)
		p.allow = allow
		return p
	}
}

// answered writes what a route returns as a problem.
func (s *Sidecar) answered(f route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.http.requests.Add(1)
		requestID := rand.Text()
		err := f(w, r)
		if err == nil {
			return
		}
		p := asProblem(err)
		if p.Code == codeInternal {
			s.cfg.Logger.Error("a request failed", "request_id", requestID, "path", r.URL.Path, "error", err)
		}
		if status, _ := kindOf(p.Code); status == http.StatusServiceUnavailable {
			s.http.refused.Add(1)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
		p.write(w, requestID)
	})
}

// guarded asks for the token; without one it serves the loopback alone.
func (s *Sidecar) guarded(f route) http.Handler {
	want := sha256.Sum256([]byte(s.cfg.Token))
	return s.answered(func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Token == "" {
			if !fromLoopback(r) {
				return problemOf(codeForbidden, "without a token only this machine is served, under the name of its loopback")
			}
			return f(w, r)
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !ok {
			return problemOf(codeUnauthenticated, "send Authorization: Bearer with the sidecar's token")
		}
		return f(w, r)
	})
}

// fromLoopback also looks at the name that was asked for: a page in a browser on
// this machine may have led its own name here.
func fromLoopback(r *http.Request) bool {
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return loopbackHost(remote) && loopbackHost(strings.Trim(host, "[]"))
}

func reply(w http.ResponseWriter, status int, v any) error {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who hung up does not read it
	return nil
}

func (s *Sidecar) postTask(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, s.cfg.MaxBody)
	if err != nil {
		return err
	}
	id, sp, err := parseTask(body, time.Now())
	if err != nil {
		return err
	}
	sp.TraceParent = traceParent(r.Header)
	if sp.Sync {
		if s.callers.Add(1) > int64(s.cfg.MaxWaiting) {
			s.callers.Add(-1)
			return busy(codeOverload, errFull, 5*time.Second)
		}
		defer s.callers.Add(-1)
	}
	known, err := s.queue.accept(r.Context(), id, sp)
	if err != nil {
		return err
	}
	if known {
		return s.answerKnown(w, id)
	}
	// A caller that hangs up now cancels nothing.
	ctx := withTrace(context.WithoutCancel(r.Context()), sp.TraceParent)
	if err := s.agent.Created(ctx, s.task(id, sp), sp.CreatedAt); err != nil {
		s.cfg.Logger.Error("a new task could not be recorded", "task_id", id, "error", err)
	}
	done := s.queue.waitFor(id)
	s.queue.ready(id)
	w.Header().Set("Location", link(id))
	if !sp.Sync {
		return reply(w, http.StatusAccepted, view{TaskID: id, Run: 1, State: timeline.StatePending, Link: link(id)})
	}
	select {
	case <-done:
	case <-r.Context().Done():
		s.http.hungUp.Add(1)
		return nil
	}
	v, err := s.look(id)
	if err != nil {
		return err
	}
	if !v.State.Terminal() {
		p := busy(codeStopping, errors.New("the task goes on after the sidecar's next start"), time.Second)
		p.Link = v.Link
		return p
	}
	return answer(w, v)
}

// answerKnown answers for a task that was posted before.
func (s *Sidecar) answerKnown(w http.ResponseWriter, id string) error {
	v, err := s.look(id)
	if err != nil {
		return err
	}
	if v.State.Terminal() {
		return answer(w, v)
	}
	p := problemOf(codeRunning, "run %d is %s; it can be followed at the link", v.Run, v.State)
	p.TaskID, p.Run, p.State, p.Link = v.TaskID, v.Run, v.State, v.Link
	return p
}

// answer is the outcome of a run as the answer to the task.
func answer(w http.ResponseWriter, v view) error {
	if v.State == timeline.StateCompleted {
		w.Header().Set("Location", v.Link)
		return reply(w, http.StatusOK, v)
	}
	code := codeFailed
	if v.State == timeline.StateCancelled {
		code = codeCancelled
	}
	p := problemOf(code, "%s", v.Error)
	p.TaskID, p.Run, p.State, p.Reason, p.Attempts, p.DeadLetterID = v.TaskID, v.Run, v.State, v.Reason, v.Attempts, v.DeadLetterID
	p.Link = v.Link
	return p
}

// look reads a task as it stands.
func (s *Sidecar) look(id string) (view, error) {
	s.queue.mu.Lock()
	e := s.queue.tasks[id]
	if e == nil {
		s.queue.mu.Unlock()
		return view{}, problemOf(codeNotFound, "no task %.80q is known here, or it ended too long ago", id)
	}
	v := view{TaskID: id, Run: int(e.run), State: e.state.public(), Link: link(id)}
	due, ended := time.Now().Add(time.Duration(e.due-s.queue.now().UnixNano())).UTC(), e.state.ended()
	retrying := e.state == stateRetrying
	s.queue.mu.Unlock()
	if retrying {
		v.NextAttemptAt = &due
	}
	if !ended {
		return v, nil
	}
	var r record
	b := s.batches.Get().(*spool.Batch) //nolint:forcetypeassert // the pool's own
	err := s.queue.read(e, endPlace, opEnd, b, &r)
	s.batches.Put(b)
	v.EndedAt = &due
	if err != nil { // the end was not written down, for want of room: its kind is known
		s.cfg.Logger.Warn("an outcome cannot be read", "task_id", id, "error", err)
		return v, nil
	}
	v.Attempts, v.Output, v.Reason, v.Error, v.DeadLetterID = r.End.Attempts, r.End.Output, r.End.Reason, r.End.Error, r.End.DeadLetterID
	return v, nil
}

func (s *Sidecar) getTask(w http.ResponseWriter, r *http.Request) error {
	v, err := s.look(r.PathValue("id"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, v)
}

// deleteTask cancels a run. Asking again is the same request.
func (s *Sidecar) deleteTask(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	v, err := s.look(id)
	if err != nil {
		return err
	}
	switch {
	case v.State == timeline.StateCancelled:
		return reply(w, http.StatusOK, v)
	case v.State.Terminal():
		p := problemOf(codeEnded, "run %d is %s", v.Run, v.State)
		p.TaskID, p.Run, p.State, p.Link = id, v.Run, v.State, v.Link
		return p
	}
	done := s.queue.waitFor(id)
	by := timeline.Operator{Actor: "sidecar", Reason: cut(r.Header.Get("Tasktrail-Reason"))}
	// A caller that hangs up meanwhile has asked all the same.
	if err := s.queue.cancel(context.WithoutCancel(r.Context()), id, v.Run, by); err != nil {
		return err
	}
	s.agent.Cancel(s.cfg.Agent.Namespace, id, v.Run, by)
	s.queue.hasten(id, v.Run)
	if done != nil {
		timer := time.NewTimer(cancelWait)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if v, err = s.look(id); err != nil {
		return err
	}
	if v.State.Terminal() {
		return reply(w, http.StatusOK, v)
	}
	return reply(w, http.StatusAccepted, v)
}
