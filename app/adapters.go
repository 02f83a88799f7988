package app

import (
	"context"
	"errors"

	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
)

// collectorAuth lets the collector believe the tokens that query believes.
type collectorAuth struct{ auth *auth.Authenticator }

func (a collectorAuth) Authenticate(ctx context.Context, token string) (collector.Principal, error) {
	p, err := a.auth.Authenticate(ctx, token)
	if errors.Is(err, auth.ErrUnauthenticated) {
		return collector.Principal{}, collector.ErrUnauthenticated
	}
	if err != nil {
		return collector.Principal{}, err
	}
	c := collector.Principal{Namespace: p.Namespace, Queues: p.Queues}
	if p.Namespace == auth.AnyNamespace {
		c.Namespace, c.AnyNamespace = timeline.DefaultNamespace, true
	}
	for _, s := range [...]auth.Scope{auth.ScopeIngest, auth.ScopeAgent, auth.ScopeOperate, auth.ScopeAdmin} {
		if p.Has(s) {
			c.Scopes = append(c.Scopes, string(s))
		}
	}
	return c, nil
}

// liveSink hands heartbeats and progress on.
type liveSink struct{ live *live.Live }

func (s liveSink) AgentLive(ctx context.Context, l *timeline.AgentLive) error {
	return s.live.AgentLive(ctx, *l)
}
