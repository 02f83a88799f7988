// Package auth answers one question for every receiver and every route: whose
// token is this, and what may it do. It knows three kinds of token: the admin
// token, API keys and JWTs.
//
// It does not decide what a route needs, keeps no sessions, and limits no rates.
package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Scope is one right of a token. The strings are the wire form.
type Scope string

// The scopes. None implies another, but for ReadAll, which includes Read, and
// Admin, which includes all.
const (
	// ScopeIngest may send events.
	ScopeIngest Scope = "ingest"
	// ScopeAgent may send events and take the commands of the token's queues.
	ScopeAgent Scope = "agent"
	// ScopeRead may read the tasks of the token's user.
	ScopeRead Scope = "read"
	// ScopeReadAll may read every task of the namespace.
	ScopeReadAll Scope = "read:all"
	// ScopeReadPayload shows inputs and outputs in what the token may read.
	ScopeReadPayload Scope = "read:payload"
	// ScopeOperate may retry, cancel and discard; it shows nothing.
	ScopeOperate Scope = "operate"
	// ScopeAdmin may do everything.
	ScopeAdmin Scope = "admin"
)

// Scopes lists every scope.
func Scopes() []Scope {
	return []Scope{ScopeIngest, ScopeAgent, ScopeRead, ScopeReadAll, ScopeReadPayload, ScopeOperate, ScopeAdmin}
}

// ParseScope reads the wire form.
func ParseScope(s string) (Scope, error) {
	if sc := Scope(s); slices.Contains(Scopes(), sc) {
		return sc, nil
	}
	return "", fmt.Errorf("scope %.40q is not known: want one of %v", s, Scopes())
}

// AnyNamespace is the namespace of a token that is bound to none: it names one
// with each request.
const AnyNamespace = "*"

// Errors of [Authenticator.Authenticate].
var (
	// ErrUnauthenticated: the token is missing, malformed, unknown, expired or
	// revoked. Which of these it is goes to nobody who has no valid token.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrUnavailable: the token could not be checked; another try may succeed.
	ErrUnavailable = errors.New("the token could not be checked")
)

// Principal is who a token speaks for.
type Principal struct {
	// ID names the token in audit lines and limits: admin, key:<id> or jwt:<sub>.
	ID string
	// Namespace is the one the token is bound to, or [AnyNamespace].
	Namespace string
	// UserID restricts a token without read:all to one user's tasks; empty for
	// tokens of services and operators.
	UserID string
	Scopes []Scope
	// Queues are those whose commands an agent may take; empty means all of the
	// namespace.
	Queues []string
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
}

// Has reports whether the principal holds the scope, by itself or by one that
// includes it.
func (p Principal) Has(s Scope) bool {
	for _, have := range p.Scopes {
		switch {
		case have == s, have == ScopeAdmin, have == ScopeReadAll && s == ScopeRead:
			return true
		}
	}
	return false
}

// MayIngest reports whether the principal may send events.
func (p Principal) MayIngest() bool { return p.Has(ScopeIngest) || p.Has(ScopeAgent) }

// MayRead reports whether the principal may read at all: everything with
// read:all, one user's tasks with read and a user.
func (p Principal) MayRead() bool {
	return p.Has(ScopeReadAll) || (p.UserID != "" && p.Has(ScopeRead))
}

// Restricted returns the user whose tasks alone the principal sees, and "" where
// it sees everybody's.
func (p Principal) Restricted() string {
	if p.Has(ScopeReadAll) {
		return ""
	}
	return p.UserID
}

// InNamespace resolves the namespace a request is about from the one it names
// ("" for none). The second result is false where the token is bound to another.
func (p Principal) InNamespace(asked, fallback string) (string, bool) {
	switch {
	case p.Namespace == AnyNamespace && asked == "":
		return fallback, true
	case p.Namespace == AnyNamespace:
		return asked, true
	case asked == "" || asked == p.Namespace:
		return p.Namespace, true
	default:
		return "", false
	}
}

// expired reports whether the principal's time is over.
func (p Principal) expired(now time.Time) bool {
	return !p.ExpiresAt.IsZero() && !now.Before(p.ExpiresAt)
}

// verifier is one kind of token. ok is false where the token is of another kind.
type verifier interface {
	verify(ctx context.Context, token string) (p Principal, ok bool, err error)
}
