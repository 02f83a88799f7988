package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// maxBreakers bounds how many processes' breakers are told of: those that
// changed last.
const maxBreakers = 10_000

// Providers lists the providers of which a breaker's event is known, the worst
// first, then by name. Opened counts the openings within the window; breakers and
// their circumstances are everybody's, so a scope of one user finds none.
func (s *Store) Providers(ctx context.Context, scope readmodel.Scope, window time.Duration) ([]readmodel.Provider, error) {
	if scope.UserID != "" {
		return nil, nil
	}
	at := now()
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	args := []any{clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("from", nanos(at.Add(-window)))}
	byName := map[string]*readmodel.Provider{}
	if err := s.providerBreakers(ctx, byName, at, args); err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	if err := s.providerLetters(ctx, byName, args); err != nil {
		return nil, fmt.Errorf("read providers: count dead letters: %w", err)
	}
	list := make([]readmodel.Provider, 0, len(byName))
	for _, p := range byName {
		judge(p)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b readmodel.Provider) int {
		return cmp.Or(cmp.Compare(badness(b.State), badness(a.State)), cmp.Compare(a.Provider, b.Provider))
	})
	return list, nil
}

// providerBreakers reads the last change of each source's breaker, and how many
// opened.
func (s *Store) providerBreakers(ctx context.Context, byName map[string]*readmodel.Provider, at time.Time, args []any) (err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT provider, source_id, opened, l.1, l.2, l.3, l.4, l.5 FROM (",
		"SELECT toString(c.provider) AS provider, source_id, uniqExactIf(event_id, state = 'open' AND occurred_at >= "+sqlFrom+") AS opened,",
		"    argMax((agent, toString(state), toString(why), occurred_at, open_until), (occurred_at, event_id)) AS l",
		"FROM breaker_changes AS c WHERE namespace = {ns:String} AND c.provider != '' GROUP BY provider, source_id)",
		"ORDER BY l.4 DESC LIMIT {max:UInt32}"), append(slices.Clip(args), clickhouse.Named("max", maxBreakers))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, state string
		var opened uint64
		var b readmodel.ProviderBreaker
		var until time.Time
		if err := rows.Scan(&name, &b.SourceID, &opened, &b.Agent, &state, &b.Why, &b.Since, &until); err != nil {
			return err
		}
		b.State, b.Since = timeline.BreakerState(state), b.Since.UTC()
		silent := b.Since
		if until.UnixNano() > 0 {
			b.OpenUntil = until.UTC()
			if until.After(silent) {
				silent = until
			}
		}
		b.Expired = b.State != timeline.BreakerClosed && at.After(silent.Add(breakerExpiry))
		p := byName[name]
		if p == nil {
			p = &readmodel.Provider{Provider: name}
			byName[name] = p
		}
		p.Opened += int64(opened)
		p.Breakers = append(p.Breakers, b)
	}
	return rows.Err()
}

// providerLetters counts the pending dead letters that wait for each provider.
func (s *Store) providerLetters(ctx context.Context, byName map[string]*readmodel.Provider, args []any) (err error) {
	rows, err := s.read.Query(ctx, lines(
		"SELECT provider, count() FROM (SELECT id, toString(any(d.provider)) AS provider FROM dead_letters AS d",
		"  WHERE namespace = {ns:String} AND d.reason = 'circuit_open' AND d.provider != ''",
		"    AND (task_id, run) IN (SELECT task_id, max(dead_letter_run) FROM letter_tasks WHERE namespace = {ns:String} GROUP BY task_id HAVING max(dead_letter_run) > max(completed_run))",
		"    AND id NOT IN (SELECT id FROM dead_letters_settled WHERE namespace = {ns:String})",
		"  GROUP BY id) GROUP BY provider"), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var n uint64
		if err := rows.Scan(&name, &n); err != nil {
			return err
		}
		if p := byName[name]; p != nil {
			p.DeadLetters = int64(n)
		}
	}
	return rows.Err()
}

// ProviderHistory lists the changes of a provider's breakers, the latest first.
func (s *Store) ProviderHistory(ctx context.Context, scope readmodel.Scope, provider string, page readmodel.Page) (list readmodel.List[readmodel.BreakerChange], err error) {
	if scope.UserID != "" {
		return list, nil
	}
	after, order, args := keyset(page, "occurred_at", "toString(event_id)")
	args = append(args, clickhouse.Named("ns", namespaceOf(scope)), clickhouse.Named("provider", provider), clickhouse.Named("limit", limitOf(page)+1))
	ctx, cancel := s.reading(ctx, pointRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT event_id, occurred_at, source_id, agent, toString(state), toString(why), calls, failures, open_until, task_id",
		"FROM breaker_changes WHERE namespace = {ns:String} AND provider = {provider:String} AND "+after,
		order, "LIMIT 1 BY event_id LIMIT {limit:UInt32}"), args...)
	if err != nil {
		return list, fmt.Errorf("read the history of a provider: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	type change struct {
		readmodel.BreakerChange
		id uuid.UUID
	}
	var found []change
	for rows.Next() {
		var c change
		var state string
		var calls, failures uint32
		var until time.Time
		if err := rows.Scan(&c.id, &c.At, &c.SourceID, &c.Agent, &state, &c.Why, &calls, &failures, &until, &c.TaskID); err != nil {
			return list, fmt.Errorf("read the history of a provider: %w", err)
		}
		c.At, c.State, c.Calls, c.Failures = c.At.UTC(), timeline.BreakerState(state), int(calls), int(failures)
		if until.UnixNano() > 0 {
			c.OpenUntil = until.UTC()
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return list, fmt.Errorf("read the history of a provider: %w", err)
	}
	whole := finish(page, found, func(c *change) readmodel.Position { return readmodel.Position{At: c.At, ID: c.id.String()} })
	list = readmodel.List[readmodel.BreakerChange]{Next: whole.Next, Prev: whole.Prev}
	for _, c := range whole.Rows {
		list.Rows = append(list.Rows, c.BreakerChange)
	}
	return list, nil
}

// badness orders states: an open breaker is worse than one that probes.
func badness(s timeline.BreakerState) int {
	switch s {
	case timeline.BreakerOpen:
		return 2
	case timeline.BreakerHalfOpen:
		return 1
	default:
		return 0
	}
}

// judge gives a provider the state of the worst of its breakers that is believed
// in, and the time it came into that: when the first of those breakers did, or,
// where all are closed, the last.
func judge(p *readmodel.Provider) {
	p.State = timeline.BreakerClosed
	for _, b := range p.Breakers {
		if !b.Expired && badness(b.State) > badness(p.State) {
			p.State = b.State
		}
	}
	for _, b := range p.Breakers {
		if p.State == timeline.BreakerClosed {
			if b.Since.After(p.Since) {
				p.Since = b.Since
			}
		} else if !b.Expired && b.State == p.State && (p.Since.IsZero() || b.Since.Before(p.Since)) {
			p.Since = b.Since
		}
	}
	slices.SortStableFunc(p.Breakers, func(a, b readmodel.ProviderBreaker) int {
		return cmp.Or(cmp.Compare(standing(b), standing(a)), b.Since.Compare(a.Since), cmp.Compare(a.SourceID, b.SourceID))
	})
}

func standing(b readmodel.ProviderBreaker) int {
	if b.Expired {
		return 0
	}
	return badness(b.State)
}
