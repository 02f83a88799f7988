package collector

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tasktrail/tasktrail/timeline"
)

// The scopes that count here. ScopeAgent and ScopeOperate include ScopeIngest,
// ScopeAdmin includes ScopeOperate.
const (
	// ScopeIngest may send OTLP, but for operators' events.
	ScopeIngest = "ingest"
	// ScopeOperate may send operators' events too: what starts or stops a task, or
	// changes a setting.
	ScopeOperate = "operate"
	// ScopeAdmin may change the settings too that give rights or send payloads
	// elsewhere: keys, channels, rules, re-enqueue URLs.
	ScopeAdmin = "admin"
	// ScopeAgent may also wait for commands and send live data.
	ScopeAgent = "agent"
)

// Errors of authentication.
var (
	// ErrUnauthenticated: the token is missing or not known (an [Authenticator]
	// returns it, wrapped or not). Any other error of an Authenticator means that
	// it could not be checked, and the sender is told to come back.
	ErrUnauthenticated = errors.New("the token is missing or not known")
	// ErrForbidden: the token is known and may not do that.
	ErrForbidden = errors.New("the token does not allow that")
)

// Principal is who a token stands for.
type Principal struct {
	// Namespace is where its events go; empty means the default one.
	Namespace string
	// AnyNamespace: its events may name another one.
	AnyNamespace bool
	// Scopes are what it may do.
	Scopes []string
	// Queues are those whose commands it may take; empty for every queue.
	Queues []string
}

// Authenticator finds out who a bearer token stands for. It is asked on every
// request and safe for concurrent use. The token is never empty.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// authenticate returns who sends, where that one may act in scope.
// authorization is the whole value of the header.
func (c *Collector) authenticate(ctx context.Context, authorization, scope string) (Principal, error) {
	authorization = strings.TrimSpace(authorization)
	if authorization == "" {
		if c.cfg.AllowAnonymous && scope == ScopeIngest {
			return Principal{Namespace: timeline.DefaultNamespace, Scopes: []string{ScopeIngest}}, nil
		}
		return Principal{}, ErrUnauthenticated
	}
	kind, token, found := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !found || !strings.EqualFold(kind, "bearer") || token == "" || c.deps.Auth == nil {
		return Principal{}, ErrUnauthenticated
	}
	p, err := c.deps.Auth.Authenticate(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	if !p.may(scope) {
		return Principal{}, ErrForbidden
	}
	if p.Namespace == "" {
		p.Namespace = timeline.DefaultNamespace
	}
	return p, nil
}

func (p *Principal) may(scope string) bool {
	return slices.Contains(p.Scopes, scope) || scope == ScopeOperate && slices.Contains(p.Scopes, ScopeAdmin) ||
		scope == ScopeIngest && (slices.Contains(p.Scopes, ScopeAgent) || slices.Contains(p.Scopes, ScopeOperate) || slices.Contains(p.Scopes, ScopeAdmin))
}
