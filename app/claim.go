package app

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/timeline"
)

// claimer decides who starts a run: Redis does, among all who ask. With Redis away
// the only collector there is decides by itself; where there may be several, nobody
// can, and the API says when to come back.
type claimer struct {
	live redisClaims
	// own is nil where there may be other collectors.
	own *ownClaims
}

// redisClaims is what live decides.
type redisClaims interface {
	ClaimRun(ctx context.Context, namespace, taskID string, run int, holder string) (bool, error)
	ReleaseRun(ctx context.Context, namespace, taskID string, run int, holder string) error
}

func (a *App) claimer() claimer {
	c := claimer{live: a.live}
	// Whoever keeps ClickHouse itself is alone: its data directory has one owner.
	if a.role == RoleUp && a.set.ClickHouseDSN == "" {
		c.own = &ownClaims{claims: map[timeline.ID]ownClaim{}}
	}
	return c
}

// ClaimRun reports whether the holder has the run.
func (c claimer) ClaimRun(ctx context.Context, namespace, taskID string, run int, holder string) (bool, error) {
	if c.own != nil && c.own.taken(namespace, taskID, run, holder, time.Now()) {
		return false, nil
	}
	won, err := c.live.ClaimRun(ctx, namespace, taskID, run, holder)
	if c.own == nil || !errors.Is(err, live.ErrUnavailable) {
		return won, err
	}
	return c.own.claim(namespace, taskID, run, holder, time.Now()), nil
}

// ReleaseRun takes a claim back.
func (c claimer) ReleaseRun(ctx context.Context, namespace, taskID string, run int, holder string) error {
	if c.own != nil && c.own.release(namespace, taskID, run, holder) {
		return nil
	}
	return c.live.ReleaseRun(ctx, namespace, taskID, run, holder)
}

// ownClaims are the runs that were claimed while Redis was away. They need to be
// remembered only until the request they belong to is readable: it stands in the
// log before the claim counts for anything, its ids follow from the run, and so a
// request that came past a restart is the same request once more.
type ownClaims struct {
	mu     sync.Mutex
	claims map[timeline.ID]ownClaim
}

type ownClaim struct {
	holder string
	until  time.Time
}

const (
	ownClaimFor  = 10 * time.Minute
	maxOwnClaims = 100_000
)

func claimID(namespace, taskID string, run int) timeline.ID {
	return timeline.DeriveID("claim", namespace, taskID, strconv.Itoa(run))
}

// claim takes a run; false where another holder has it, or where there is no room to
// remember one more.
func (o *ownClaims) claim(namespace, taskID string, run int, holder string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := claimID(namespace, taskID, run)
	if c, held := o.claims[id]; held && now.Before(c.until) {
		return c.holder == holder
	}
	if len(o.claims) >= maxOwnClaims {
		for k, c := range o.claims {
			if !now.Before(c.until) {
				delete(o.claims, k)
			}
		}
		if len(o.claims) >= maxOwnClaims {
			return false
		}
	}
	o.claims[id] = ownClaim{holder, now.Add(ownClaimFor)}
	return true
}

// taken reports whether another holder has the run.
func (o *ownClaims) taken(namespace, taskID string, run int, holder string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, held := o.claims[claimID(namespace, taskID, run)]
	return held && now.Before(c.until) && c.holder != holder
}

func (o *ownClaims) release(namespace, taskID string, run int, holder string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := claimID(namespace, taskID, run)
	if c, held := o.claims[id]; !held || c.holder != holder {
		return false
	}
	delete(o.claims, id)
	return true
}
