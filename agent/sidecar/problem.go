package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// The codes of problems; programs decide by them.
const (
	codeInvalid         = "invalid_task"
	codeMalformed       = "malformed_request"
	codeTooLarge        = "body_too_large"
	codeMediaType       = "unsupported_media_type"
	codeUnauthenticated = "unauthenticated"
	codeForbidden       = "forbidden"
	codeNotFound        = "not_found"
	codeNoRoute         = "no_route"
	codeMethod          = "method_not_allowed"
	codeRunning         = "task_running"
	codeNotRunning      = "not_running"
	codeCancelled       = "task_cancelled"
	codeEnded           = "task_ended"
	codeFailed          = "task_failed"
	codeOverload        = "overload"
	codeNoRoom          = "no_room"
	codeStopping        = "stopping"
	codeInternal        = "internal"
)

// kinds give each code its status and title.
func kindOf(code string) (status int, title string) {
	switch code {
	case codeInvalid:
		return http.StatusUnprocessableEntity, "This is no task"
	case codeMalformed:
		return http.StatusBadRequest, "The request cannot be read"
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge, "The body is too large"
	case codeMediaType:
		return http.StatusUnsupportedMediaType, "The body is not JSON"
	case codeUnauthenticated:
		return http.StatusUnauthorized, "A token is needed"
	case codeForbidden:
		return http.StatusForbidden, "This is not allowed"
	case codeNotFound:
		return http.StatusNotFound, "There is no such task"
	case codeNoRoute:
		return http.StatusNotFound, "There is nothing here"
	case codeMethod:
		return http.StatusMethodNotAllowed, "Not with this method"
	case codeRunning:
		return http.StatusConflict, "The task is going on"
	case codeNotRunning:
		return http.StatusConflict, "The attempt is not running"
	case codeCancelled:
		return http.StatusConflict, "The task was cancelled"
	case codeEnded:
		return http.StatusConflict, "The task has ended"
	case codeFailed:
		return http.StatusBadGateway, "The task failed"
	case codeOverload:
		return http.StatusServiceUnavailable, "Too much at once"
	case codeNoRoom:
		return http.StatusServiceUnavailable, "No room for more tasks"
	case codeStopping:
		return http.StatusServiceUnavailable, "The sidecar is stopping"
	}
	return http.StatusInternalServerError, "Something went wrong here"
}

// problem is the body of every error (RFC 9457).
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	// Field names what is wrong.
	Field string `json:"field,omitempty"`
	// Link is where to look.
	Link string `json:"link,omitempty"`
	// What follows is of a run that did not complete.
	TaskID       string                 `json:"task_id,omitempty"`
	Run          int                    `json:"run,omitempty"`
	State        timeline.State         `json:"state,omitempty"`
	Reason       timeline.FailureReason `json:"reason,omitempty"`
	Attempts     int                    `json:"attempts,omitempty"`
	DeadLetterID timeline.ID            `json:"dead_letter_id,omitzero"`

	retryAfter time.Duration
	allow      string
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func problemOf(code, format string, args ...any) *problem {
	return &problem{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func invalid(field, format string, args ...any) *problem {
	p := problemOf(codeInvalid, format, args...)
	p.Field = field
	return p
}

func busy(code string, err error, after time.Duration) *problem {
	p := problemOf(code, "%s; ask again later", err)
	p.retryAfter = after
	return p
}

// asProblem gives every error its answer.
func asProblem(err error) *problem {
	var p *problem
	var field *timeline.FieldError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &field):
		return invalid(field.Field, "%s: %s", field.Field, field.Want)
	case errors.Is(err, errFull):
		return busy(codeOverload, err, 5*time.Second)
	case errors.Is(err, errNoDisk), errors.Is(err, spool.ErrFull):
		return busy(codeNoRoom, errNoDisk, 30*time.Second)
	case errors.Is(err, spool.ErrFrameTooLarge):
		return problemOf(codeTooLarge, "the task is larger than a record may be: send a reference to what is large")
	case errors.Is(err, spool.ErrSyncFailed), errors.Is(err, spool.ErrFault):
		return busy(codeNoRoom, errors.New("the disk does not keep what it is given"), 30*time.Second)
	case errors.Is(err, errQueues):
		return invalid("queue", "%s", err)
	case errors.Is(err, errClosing):
		return busy(codeStopping, err, time.Second)
	}
	return problemOf(codeInternal, "the log of the sidecar says more")
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter, requestID string) {
	p.Type, p.RequestID = "urn:tasktrail:problem:"+p.Code, requestID
	p.Status, p.Title = kindOf(p.Code)
	h := w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(int(p.retryAfter/time.Second), 1)))
	}
	if p.Link != "" {
		h.Set("Location", p.Link)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who hung up does not read it
}
