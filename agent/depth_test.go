package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestTheRunnersDepthsGoWithTheHeartbeats(t *testing.T) {
	oldest := time.Now().Add(-time.Minute).UTC().Round(time.Millisecond)
	calls := make(chan struct{}, 10)
	rec := agenttest.New(t, quick)
	rec.ReportDepths(func(ctx context.Context) ([]timeline.LiveQueueDepth, error) {
		calls <- struct{}{}
		if _, bounded := ctx.Deadline(); !bounded {
			return nil, errors.New("the question has no deadline")
		}
		return []timeline.LiveQueueDepth{{Queue: "money", Pending: 7, OldestAt: oldest}}, nil
	})
	until(t, "the depth", func() bool {
		var live timeline.AgentLive
		return json.Unmarshal(rec.Collector().Live(), &live) == nil && len(live.QueueDepths) == 1 &&
			live.QueueDepths[0] == timeline.LiveQueueDepth{Queue: "money", Pending: 7, OldestAt: oldest}
	})
	if len(calls) == 0 {
		t.Error("the runner was not asked")
	}
}

// The runner leaves aborted attempts out of its count, and their numbers are used
// up all the same.
func TestNumbersOfAbortedAttemptsAreNotUsedAgain(t *testing.T) {
	rec := agenttest.New(t, quick)
	fails := failing(errUnwell)
	s := rec.Step(t.Context(), task("moved", "p"), agent.Delivery{Run: 1, Attempt: 1, Aborted: 3}, fails)
	if s.Outcome != agent.Retrying || s.NextAttempt != 5 {
		t.Errorf("outcome %v, next attempt %d; want retrying, 5: of two attempts one is made", s.Outcome, s.NextAttempt)
	}
	if s := rec.Step(t.Context(), task("moved", "p"), agent.Delivery{Run: 1, Attempt: 2, Aborted: 3}, fails); s.Outcome != agent.Failed {
		t.Errorf("outcome %v after the second attempt that counts, want failed", s.Outcome)
	}
	wantLife(t, rec, "moved", []string{
		"r1 a4 attempt_started", "r1 a4 attempt_failed", "r1 a4 task_retried", "r1 a5 attempt_started", "r1 a5 attempt_failed",
		"r1 task_failed", "r1 moved_to_dlq",
	})
}
