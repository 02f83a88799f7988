package requeue

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/webhook"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func cancelOf(task string) timeline.Command {
	c := command(task, 1)
	return timeline.Command{
		ID: timeline.DeriveID("cancel", "shop", task, "1"), Kind: timeline.CommandCancel, Run: 1, Task: c.Task,
		Operator: &timeline.Operator{Actor: "key:ann", Reason: "not wanted"}, RequestedAt: c.RequestedAt,
	}
}

// A cancel is posted with a type of its own. What ends the run is the worker's to
// say: nothing is written, and the post is not made again.
func TestACancelIsPostedAndLeftToTheWorker(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	to := receive(t, 503, 202)
	p.register(Target{Namespace: "shop", Queue: "orders", Version: 1, URL: to.URL, Keys: [][]byte{key}})
	c := cancelOf("o1")
	p.commands <- c
	eventually(t, "taken", func() bool { return r.Stats().Taken == 1 })
	p.commands <- c // offered again while the worker has not answered
	p.commands <- command("o2", 2)
	if e := next(t, p); e.Type != timeline.TaskRetried || e.Task.ID != "o2" {
		t.Errorf("the first event is %s of %s, want none of the cancel", e.Type, e.Task.ID)
	}
	var cancels int
	for i, b := range to.bodies {
		var got struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		h := to.got[i].Header
		if err := webhook.Verify(key, h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), b, time.Now()); err != nil {
			t.Error(err)
		}
		if got.Type != "task.cancel" {
			continue
		}
		cancels++
		if got.Data["task_id"] != "o1" || got.Data["run"] != 1.0 || got.Data["queue"] != "orders" || got.Data["comment"] != "not wanted" ||
			got.Data["input"] != nil || h.Get("webhook-id") != c.ID.String() {
			t.Errorf("posted %s", b)
		}
	}
	if cancels != 2 {
		t.Errorf("%d posts of the cancel, want the refused one and the taken one", cancels)
	}
	if s := p.state("shop/orders"); s.State != readmodel.RequeueTaking || s.DeliveredAt.IsZero() || !strings.Contains(s.Error, "503") || s.ErrorAt.IsZero() {
		t.Errorf("the state is %+v", s)
	}
}

// A cancel that is refused for good had no effect, and the timeline says so.
func TestARefusedCancelIsIgnoredOnRecord(t *testing.T) {
	p, r := start(t, Config{Allow: loopback})
	to := receive(t, 404)
	p.register(Target{Namespace: "shop", Queue: "orders", Version: 1, URL: to.URL, Keys: [][]byte{key}})
	p.commands <- cancelOf("o1")
	e := next(t, p)
	if e.Type != timeline.CancelIgnored || e.Run != 1 || e.StopProof != "refused" || e.Error == nil || e.Error.HTTPStatus != 404 || e.Operator == nil || e.Type.Terminal() {
		t.Errorf("answered with %+v", e)
	}
	if s := p.state("shop/orders"); r.Stats().Refused != 1 || s.State != readmodel.RequeueRefusing || !s.DeliveredAt.IsZero() {
		t.Errorf("%+v, the state is %+v", r.Stats(), s)
	}
}

// Two collectors may refuse one command, each when it hears of it, and one may do so
// again after it was killed: the event is the same.
func TestARefusalIsTheSameEachTime(t *testing.T) {
	for name, c := range map[string]timeline.Command{"cancel": cancelOf("o1"), "retry": command("o2", 2)} {
		var seen []timeline.Event
		for range 2 {
			p, _ := start(t, Config{Allow: loopback})
			to := receive(t, 404)
			p.register(Target{Namespace: "shop", Queue: "orders", Version: 1, URL: to.URL, Keys: [][]byte{key}})
			p.commands <- c
			seen = append(seen, next(t, p))
		}
		if a, b := seen[0], seen[1]; a.ID != b.ID || !a.OccurredAt.Equal(b.OccurredAt) || !a.OccurredAt.After(c.RequestedAt) {
			t.Errorf("%s: %s at %v, then %s at %v; asked at %v", name, a.ID, a.OccurredAt, b.ID, b.OccurredAt, c.RequestedAt)
		}
	}
}
