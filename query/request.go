package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const base = "/api/v1"

// slowFactor times [Config.QueryTimeout] bounds the work on a slow route.
const slowFactor = 6

// access is what a route asks of a token.
type access int

const (
	// accessAny: any valid token.
	accessAny access = iota
	// accessRead: read:all, or read with a user.
	accessRead
	// accessReadAll: read:all, for what belongs to no user.
	accessReadAll
	// accessOperate: operate.
	accessOperate
	// accessOperateAll: operate without a user whose tasks alone the token sees, for
	// what belongs to no user.
	accessOperateAll
	// accessAdmin: admin.
	accessAdmin
)

// route is one route of the API.
type route struct {
	method, path string
	access       access
	// params are the query parameters it takes beside namespace; repeatable those
	// that may stand there more than once.
	params, repeatable []string
	// mutates marks what is audited and guarded against other sites.
	mutates bool
	// slow: it reads many pages, and may take slowFactor times as long as others.
	slow   bool
	handle func(*request) error
}

// request is one request of an authenticated caller. Nothing in it points into
// fiber's buffers.
type request struct {
	c         *fiber.Ctx
	ctx       context.Context
	route     *route
	principal auth.Principal
	scope     readmodel.Scope
	params    *params
	id        string // request id
	// bulk is the bulk action the request is part of; such a request came by no
	// connection, and c is nil.
	bulk string
	// audit collects what the audit line of a mutating call says.
	audit []any
}

// payload reports whether the caller may see inputs and outputs.
func (r *request) payload() bool { return r.principal.Has(auth.ScopeReadPayload) }

// target is what the path names.
func (r *request) target() string {
	for _, name := range [...]string{"id", "fingerprint", "name"} {
		if v := r.c.Params(name); v != "" {
			return v
		}
	}
	return ""
}

func (r *request) taskID() (string, error) { return pathTaskID(r.c.Params("id")) }

func (r *request) deadLetterID() (timeline.ID, error) { return pathDeadLetterID(r.c.Params("id")) }

func (r *request) pathID(whose string) (timeline.ID, error) { return pathID(r.c.Params("id"), whose) }

func (r *request) pathName() (string, error) {
	return pathText("name", r.c.Params("name"), timeline.MaxNameBytes)
}

// answer sends a JSON body.
func (r *request) answer(status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return r.send(status, b)
}

func (r *request) send(status int, b []byte) error {
	r.c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	r.c.Set(fiber.HeaderCacheControl, "no-store")
	return r.c.Status(status).Send(b)
}

// taskLink is where the API shows a task.
func (s *Server) taskLink(scope readmodel.Scope, taskID string) string {
	return s.withNamespace(scope, base+"/tasks/"+url.PathEscape(taskID))
}

func (s *Server) deadLetterLink(scope readmodel.Scope, id timeline.ID) string {
	return s.withNamespace(scope, base+"/failed-tasks/"+id.String())
}

func (s *Server) withNamespace(scope readmodel.Scope, link string) string {
	if scope.Namespace == s.cfg.Namespace {
		return link
	}
	return link + "?namespace=" + url.QueryEscape(scope.Namespace)
}

// serve does for every route of the API what must not be forgotten in one: bounds,
// who asks, what they may, what they sent, and the audit line.
func (s *Server) serve(rt *route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		select {
		case s.working <- struct{}{}:
			defer func() { <-s.working }()
		default:
			s.metrics.refused.WithLabelValues("concurrency").Inc()
			return &failure{code: codeOverloaded, retryAfter: time.Second}
		}
		limit := s.cfg.QueryTimeout
		if rt.slow {
			limit *= slowFactor
		}
		ctx, cancel := context.WithTimeoutCause(s.base, limit, fmt.Errorf("%s took longer than %s: %w", rt.path, limit, context.DeadlineExceeded))
		defer cancel()
		r := &request{c: c, ctx: ctx, route: rt, id: requestID(c)}
		err := s.admit(r)
		if err == nil {
			err = rt.handle(r)
		}
		if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			var f *failure
			if !errors.As(err, &f) {
				err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
			}
		}
		if rt.mutates && r.principal.ID != "" {
			s.audited(r, err)
		}
		return err
	}
}

// admit fills in the request, or says why it is not let in.
func (s *Server) admit(r *request) error {
	p, byCookie, err := s.authenticate(r)
	if err != nil {
		return err
	}
	if byCookie && r.route.mutates {
		if err := sameSite(r.c); err != nil {
			return err
		}
	}
	r.principal = p
	if wait, ok := s.limiters.allow(p.ID, s.now()); !ok {
		s.metrics.refused.WithLabelValues("rate").Inc()
		return &failure{code: codeRateLimited, retryAfter: max(wait, time.Millisecond), detail: fmt.Sprintf("a token may ask %g times a second", s.cfg.RatePerSecond)}
	}
	if err := r.route.access.check(p); err != nil {
		return err
	}
	allowed := append(slices.Clone(r.route.params), "namespace")
	if r.params, err = parseParams(string(r.c.Context().URI().QueryString()), allowed, r.route.repeatable); err != nil {
		return err
	}
	asked := r.params.text("namespace", timeline.MaxNameBytes)
	if asked == auth.AnyNamespace {
		r.params.note("namespace", "name one namespace")
	}
	if err := r.params.err(); err != nil {
		return err
	}
	ns, ok := p.InNamespace(asked, s.cfg.Namespace)
	if !ok {
		return &failure{code: codeNamespaceForbidden, field: "namespace"}
	}
	r.scope = readmodel.Scope{Namespace: ns, UserID: p.Restricted()}
	return nil
}

// check says what a token lacks.
func (a access) check(p auth.Principal) error {
	switch a {
	case accessRead:
		if p.MayRead() {
			return nil
		}
		if p.Has(auth.ScopeRead) {
			return fail(codeForbidden, "a token without a user needs the scope read:all")
		}
		return fail(codeForbidden, "the scope read or read:all is needed")
	case accessReadAll:
		if !p.Has(auth.ScopeReadAll) {
			return fail(codeForbidden, "the scope read:all is needed")
		}
	case accessOperate, accessOperateAll:
		if !p.Has(auth.ScopeOperate) {
			return fail(codeForbidden, "the scope operate is needed")
		}
		if a == accessOperateAll && p.Restricted() != "" {
			return fail(codeForbidden, "this is everybody's: a token of one user may not change it")
		}
	case accessAdmin:
		if !p.Has(auth.ScopeAdmin) {
			return fail(codeForbidden, "the scope admin is needed")
		}
	}
	return nil
}

// authenticate finds out who asks, by header or by session cookie.
func (s *Server) authenticate(r *request) (p auth.Principal, byCookie bool, err error) {
	token := ""
	if header := r.c.Get(fiber.HeaderAuthorization); header != "" {
		var ok bool
		if token, ok = auth.BearerToken(header); !ok {
			return p, false, auth.ErrUnauthenticated
		}
	} else if cookie := r.c.Cookies(s.sessions.cookieName()); cookie != "" {
		if token, byCookie = s.sessions.open(cookie); !byCookie {
			return p, false, auth.ErrUnauthenticated
		}
	} else {
		return p, false, auth.ErrUnauthenticated
	}
	p, err = s.deps.Auth.Authenticate(r.ctx, token)
	if err != nil {
		return auth.Principal{}, byCookie, fmt.Errorf("authenticate: %w", err)
	}
	return p, byCookie, nil
}

// sameSite refuses what another site made a browser send. Requests with a token
// in their header need no such check: no other site can make a browser send one.
func sameSite(c *fiber.Ctx) error {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return nil
	case "":
		// Browsers before Sec-Fetch-Site send Origin with every such request.
		if u, err := url.Parse(c.Get(fiber.HeaderOrigin)); err == nil && u.Host != "" && u.Host == string(c.Context().Host()) {
			return nil
		}
	}
	return fail(codeCrossSite, "a session's changes must come from the page itself; programs send Authorization: Bearer")
}

// outermost wraps every request: its id, its headers, its metrics, and what is
// left of it after a panic.
func (s *Server) outermost(c *fiber.Ctx) (err error) {
	id := c.Get(fiber.HeaderXRequestID)
	if !saneRequestID(id) {
		id = s.ids.Next(s.now()).String()
	}
	c.Locals(requestIDKey{}, id)
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.log.Error("panic while answering", "panic", fmt.Sprint(p), "stack", string(debug.Stack()), "request_id", id)
			c.Response().Reset()
			err = s.answerError(c, &failure{code: codeInternal})
		}
		c.Set(fiber.HeaderXRequestID, id)
		route := "unmatched"
		if r := c.Route(); r != nil && r.Path != "/" && !strings.HasSuffix(r.Path, "*") && r.Path != base {
			route = r.Path
		}
		s.metrics.observe(route, c.Method(), c.Response().StatusCode(), time.Since(began))
	}()
	setSecurityHeaders(c)
	if err := c.Next(); err != nil {
		return s.answerError(c, err)
	}
	return nil
}

type requestIDKey struct{}

func requestID(c *fiber.Ctx) string {
	if id, ok := c.Locals(requestIDKey{}).(string); ok {
		return id
	}
	// The request did not get as far as having one: its head could not be read.
	return "none"
}

func saneRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, b := range []byte(id) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.':
		default:
			return false
		}
	}
	return true
}

func setSecurityHeaders(c *fiber.Ctx) {
	for _, h := range securityHeaders {
		c.Set(h[0], h[1])
	}
}

// securityHeaders go with every answer. The policy allows what the UI is built
// from, its own files, and nothing inline.
var securityHeaders = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()"},
}
