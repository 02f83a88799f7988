package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/timeline"
)

// redisClaimsFake is Redis, which may be away.
type redisClaimsFake struct {
	away   error
	claims map[string]string
}

func (r *redisClaimsFake) ClaimRun(_ context.Context, namespace, taskID string, run int, holder string) (bool, error) {
	if r.away != nil {
		return false, r.away
	}
	key := fmt.Sprint(namespace, taskID, run)
	if r.claims[key] == "" {
		r.claims[key] = holder
	}
	return r.claims[key] == holder, nil
}

func (r *redisClaimsFake) ReleaseRun(_ context.Context, namespace, taskID string, run int, holder string) error {
	delete(r.claims, fmt.Sprint(namespace, taskID, run))
	return r.away
}

func TestWhoDecidesWithRedisAway(t *testing.T) {
	r := &redisClaimsFake{claims: map[string]string{}}
	single := claimer{r, &ownClaims{claims: map[timeline.ID]ownClaim{}}}
	several := claimer{r, nil}
	claim := func(c claimer, run int, holder string, want bool) {
		t.Helper()
		if got, err := c.ClaimRun(t.Context(), "default", "t1", run, holder); got != want || err != nil {
			t.Errorf("run %d by %s: %v, %v; want %v", run, holder, got, err, want)
		}
	}
	claim(single, 2, "a", true)
	claim(single, 2, "b", false)
	r.away = fmt.Errorf("claim run: %w", live.ErrUnavailable)
	if _, err := several.ClaimRun(t.Context(), "default", "t1", 3, "a"); !errors.Is(err, live.ErrUnavailable) {
		t.Errorf("one of several decides alone: %v", err)
	}
	claim(single, 3, "a", true)
	claim(single, 3, "a", true)
	claim(single, 3, "b", false)
	claim(single, 4, "a", true)
	if err := single.ReleaseRun(t.Context(), "default", "t1", 4, "a"); err != nil {
		t.Error(err)
	}
	claim(single, 4, "b", true)
	r.away = nil // what was decided meanwhile holds
	claim(single, 3, "b", false)
	claim(single, 5, "b", true)
	r.away = errors.New("a wrong answer")
	if _, err := single.ClaimRun(t.Context(), "default", "t1", 6, "a"); err == nil {
		t.Error("an answer that is no absence was passed over")
	}
}

func TestOwnClaimsEndAndAreBounded(t *testing.T) {
	o := &ownClaims{claims: map[timeline.ID]ownClaim{}}
	now := time.Now()
	for i := range maxOwnClaims {
		if !o.claim("default", "t", i, "a", now) {
			t.Fatal(i)
		}
	}
	if o.claim("default", "t", maxOwnClaims, "a", now) || len(o.claims) != maxOwnClaims {
		t.Errorf("%d claims", len(o.claims))
	}
	later := now.Add(ownClaimFor)
	if !o.claim("default", "t", maxOwnClaims, "a", later) || len(o.claims) != 1 || o.taken("default", "t", 0, "b", later) {
		t.Errorf("%d claims are kept past their time", len(o.claims))
	}
}
