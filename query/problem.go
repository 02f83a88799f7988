package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// Problem is the body of every error (RFC 9457), as application/problem+json.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is stable; programs decide by it.
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	// Field names the parameter that is wrong.
	Field string `json:"field,omitempty"`
	// DeadLetterID is the dead letter to look at instead, Link where it is.
	DeadLetterID timeline.ID `json:"dead_letter_id,omitzero"`
	Link         string      `json:"link,omitempty"`
}

// code is the stable name of one way to fail.
type code string

// The codes of problems.
const (
	codeInvalidParameter    code = "invalid_parameter"
	codeInvalidCursor       code = "invalid_cursor"
	codeCursorMismatch      code = "cursor_mismatch"
	codeInvalidBody         code = "invalid_body"
	codeMalformedRequest    code = "malformed_request"
	codeUnauthenticated     code = "unauthenticated"
	codeForbidden           code = "forbidden"
	codeCrossSite           code = "cross_site"
	codeNamespaceForbidden  code = "namespace_forbidden"
	codeNotFound            code = "not_found"
	codeNoRoute             code = "no_route"
	codeMethodNotAllowed    code = "method_not_allowed"
	codeRequestTimeout      code = "request_timeout"
	codeTaskRunning         code = "task_running"
	codeTaskCompleted       code = "task_completed"
	codeTaskEnded           code = "task_ended"
	codeAlreadyRetrying     code = "already_retrying"
	codeNotPending          code = "dead_letter_not_pending"
	codeNoDeadLetter        code = "no_dead_letter"
	codeRunClaimed          code = "run_claimed"
	codeIdempotencyInUse    code = "idempotency_key_in_use"
	codeAlertResolved       code = "alert_resolved"
	codeSetInFile           code = "set_in_file"
	codeBulkEnded           code = "bulk_ended"
	codeBodyTooLarge        code = "body_too_large"
	codeUnsupportedMedia    code = "unsupported_media_type"
	codeNotReplayable       code = "not_replayable"
	codeNotRequeueable      code = "not_requeueable"
	codeNotCancellable      code = "not_cancellable"
	codePatchNotApplicable  code = "patch_not_applicable"
	codeIdempotencyMismatch code = "idempotency_key_reused"
	codeTooMany             code = "too_many"
	codeNothingSelected     code = "nothing_selected"
	codeRateLimited         code = "rate_limited"
	codeHeaderTooLarge      code = "header_too_large"
	codeInternal            code = "internal"
	codeUnavailable         code = "unavailable"
	codeOverloaded          code = "overloaded"
	codeTimeout             code = "timeout"
)

// statuses is the one table from a way to fail to its status and title.
var statuses = map[code]struct {
	status int
	title  string
}{
	codeInvalidParameter:    {400, "A parameter is wrong"},
	codeInvalidCursor:       {400, "The cursor is not one of ours"},
	codeCursorMismatch:      {400, "The cursor belongs to another filter"},
	codeInvalidBody:         {400, "The body is wrong"},
	codeMalformedRequest:    {400, "The request is malformed"},
	codeUnauthenticated:     {401, "A valid token is needed"},
	codeForbidden:           {403, "The token lacks a scope"},
	codeCrossSite:           {403, "The request comes from another site"},
	codeNamespaceForbidden:  {403, "The token belongs to another namespace"},
	codeNotFound:            {404, "Not found"},
	codeNoRoute:             {404, "There is no such route"},
	codeMethodNotAllowed:    {405, "The route does not take this method"},
	codeRequestTimeout:      {408, "The request did not arrive in time"},
	codeTaskRunning:         {409, "The task has not failed"},
	codeTaskCompleted:       {409, "The task is completed"},
	codeTaskEnded:           {409, "The task has ended"},
	codeAlreadyRetrying:     {409, "A retry was accepted already"},
	codeNotPending:          {409, "The dead letter is not pending"},
	codeNoDeadLetter:        {409, "The task has no dead letter to retry"},
	codeRunClaimed:          {409, "Another request starts this run"},
	codeIdempotencyInUse:    {409, "The first request with this key is being worked on"},
	codeAlertResolved:       {409, "The alert is resolved"},
	codeSetInFile:           {409, "The configuration has one of this name"},
	codeBulkEnded:           {409, "The bulk action has ended"},
	codeBodyTooLarge:        {413, "The body is too large"},
	codeUnsupportedMedia:    {415, "The body is not JSON"},
	codeNotReplayable:       {422, "The original input is not to be had"},
	codeNotRequeueable:      {422, "Nothing can run the task again"},
	codeNotCancellable:      {422, "Nothing can stop the task"},
	codePatchNotApplicable:  {422, "The input cannot be edited"},
	codeIdempotencyMismatch: {422, "The idempotency key stands for another request"},
	codeTooMany:             {422, "There are too many"},
	codeNothingSelected:     {422, "Nothing is selected"},
	codeRateLimited:         {429, "Too many requests"},
	codeHeaderTooLarge:      {431, "The request's line and headers are too large"},
	codeInternal:            {500, "Something went wrong"},
	codeUnavailable:         {503, "Not available for the moment"},
	codeOverloaded:          {503, "Too many requests are being worked on"},
	codeTimeout:             {504, "The answer took too long"},
}

// failure is an error that knows what the client is told.
type failure struct {
	code   code
	detail string
	field  string
	// retryAfter is sent as Retry-After where it is not zero.
	retryAfter time.Duration
	deadLetter timeline.ID
	link       string
	allow      string
	cause      error // for the log alone
}

func (f *failure) Error() string {
	s := string(f.code)
	if f.field != "" {
		s += ": " + f.field
	}
	if f.detail != "" {
		s += ": " + f.detail
	}
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

func (f *failure) Unwrap() error { return f.cause }

func fail(c code, format string, args ...any) *failure {
	return &failure{code: c, detail: fmt.Sprintf(format, args...)}
}

func invalid(field, format string, args ...any) *failure {
	return &failure{code: codeInvalidParameter, field: field, detail: fmt.Sprintf(format, args...)}
}

// unavailable is a failure of a part the service stands on.
func unavailable(what string, cause error) *failure {
	return &failure{code: codeUnavailable, detail: what + " cannot be reached", retryAfter: time.Second, cause: cause}
}

// readFailure is an error of the reader: not found and late are what they are,
// everything else means that the store does not answer.
func readFailure(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, readmodel.ErrNotFound) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return unavailable("the store", err)
}

// asFailure gives every error the code it is answered with.
func asFailure(err error) *failure {
	var f *failure
	var fe *fiber.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, readmodel.ErrNotFound):
		return &failure{code: codeNotFound, detail: "there is nothing of that name here, or the token does not show it"}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{code: codeTimeout, detail: "ask for less, or again later", retryAfter: time.Second, cause: err}
	case errors.Is(err, context.Canceled):
		return &failure{code: codeUnavailable, detail: "the service is stopping", retryAfter: time.Second, cause: err}
	case errors.Is(err, auth.ErrUnavailable):
		return unavailable("what the token is checked with", err)
	case errors.Is(err, auth.ErrUnauthenticated):
		return &failure{code: codeUnauthenticated, detail: "send Authorization: Bearer with a token that is valid"}
	case errors.As(err, &fe):
		return fiberFailure(fe)
	default:
		return &failure{code: codeInternal, cause: err}
	}
}

func fiberFailure(e *fiber.Error) *failure {
	switch e.Code {
	case fiber.StatusNotFound:
		return &failure{code: codeNoRoute}
	case fiber.StatusMethodNotAllowed:
		return &failure{code: codeMethodNotAllowed}
	case fiber.StatusRequestTimeout:
		return &failure{code: codeRequestTimeout}
	case fiber.StatusRequestEntityTooLarge:
		return &failure{code: codeBodyTooLarge}
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return &failure{code: codeHeaderTooLarge}
	default:
		if e.Code >= 500 {
			return &failure{code: codeInternal, cause: e}
		}
		return &failure{code: codeMalformedRequest}
	}
}

// answerError is fiber's error handler: every error of the service leaves here.
func (s *Server) answerError(c *fiber.Ctx, err error) error {
	f := asFailure(err)
	entry := statuses[f.code]
	p := Problem{
		Type: "urn:tasktrail:problem:" + string(f.code), Title: entry.title, Status: entry.status, Detail: f.detail,
		Code: string(f.code), RequestID: requestID(c), Field: f.field, DeadLetterID: f.deadLetter, Link: f.link,
	}
	switch f.code {
	case codeBodyTooLarge:
		p.Detail = fmt.Sprintf("the limit is %d bytes", s.cfg.MaxBodyBytes)
	case codeHeaderTooLarge:
		p.Detail = fmt.Sprintf("the limit is %d bytes", s.cfg.MaxHeaderBytes)
	case codeUnauthenticated:
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="tasktrail"`)
	}
	if f.retryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	if f.allow != "" {
		c.Set(fiber.HeaderAllow, f.allow)
	}
	if entry.status >= 500 {
		s.log.Error("request failed", "error", err.Error(), "code", string(f.code), "request_id", p.RequestID, "method", c.Method(), "path", c.Path())
	}
	setSecurityHeaders(c)
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode problem: %w", err)
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Status(entry.status).Send(body)
}
