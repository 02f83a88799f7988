package query

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A cancel of a task that no agent runs goes to its queue's URL, or is refused before
// anything is promised.
func TestCancelOfWhatNoAgentRuns(t *testing.T) {
	h := start(t, func(_ *Config, d *Deps) { d.Servers = servers("payments") })
	life := func(id, queue, source string) {
		events := querytest.NewLife(timeline.Task{ID: id, Queue: queue, Runner: "bullmq"}, at).Started().Events
		for i := range events {
			events[i].SourceID = source
		}
		h.store.Add(events...)
	}
	life("foreign", "orders", "")
	life("served", "payments", "")
	life("ours", "orders", "source-1")
	h.post("/tasks/foreign/cancel", "operator", "").want(422, codeNotCancellable)
	if n := len(h.events("foreign", timeline.CancelRequested)); n != 0 {
		t.Errorf("%d requests on record of a refused cancel", n)
	}
	h.do("PUT", base+"/requeue-urls/orders", "admin", `{"url":"https://a.example.com/"}`).want(201)
	for id, target := range map[string]string{"foreign": timeline.RequeueURLSource, "served": "", "ours": ""} {
		var a accepted
		h.post("/tasks/"+id+"/cancel", "operator", `{"reason":"not wanted"}`).want(202).json(&a)
		asked := h.events(id, timeline.CancelRequested)
		if len(asked) != 1 {
			t.Fatalf("%s: %d requests on record", id, len(asked))
		}
		got := ""
		if d := asked[0].DeadLetter; d != nil {
			got = d.SourceID
		}
		if got != target || (a.Served != nil && *a.Served) != (target != "") {
			t.Errorf("%s: for %q, served %v; want for %q", id, got, a.Served, target)
		}
	}
}

// states answers for one queue.
type states map[string]readmodel.RequeueState

func (s states) RequeueStates(context.Context, string) (map[string]readmodel.RequeueState, error) {
	if s == nil {
		return nil, errors.New("Redis is away")
	}
	return s, nil
}

func TestRequeueURLsSayHowTheyAnswer(t *testing.T) {
	known := states{
		"orders": {State: readmodel.RequeueFailing, DeliveredAt: at.Add(time.Hour), Error: "the re-enqueue URL answered 503", ErrorAt: at.Add(2 * time.Hour)},
		"mail":   {State: readmodel.RequeueTaking, DeliveredAt: at.Add(-time.Hour)}, // before it was registered as it is
	}
	for name, s := range map[string]states{"known": known, "unknown": nil} {
		t.Run(name, func(t *testing.T) {
			h := start(t, func(_ *Config, d *Deps) { d.RequeueStates, d.Now = s, func() time.Time { return at } })
			for _, q := range []string{"orders", "mail"} {
				h.do("PUT", base+"/requeue-urls/"+q, "admin", `{"url":"https://a.example.com/"}`).want(201)
			}
			var list struct{ Data []requeueView }
			h.get("/requeue-urls", "operator").want(200).json(&list)
			if len(list.Data) != 2 {
				t.Fatalf("%+v", list)
			}
			for _, v := range list.Data {
				want := s != nil && v.Queue == "orders"
				if (v.RequeueState != nil) != want || want && *v.RequeueState != known["orders"] {
					t.Errorf("%s: %+v", v.Queue, v.RequeueState)
				}
			}
		})
	}
}

// The original of what was redacted stays with the runner: the request carries no
// input, and says where it is; nobody but an agent can use it.
func TestRetryOfAnInputThatTheRunnerKeeps(t *testing.T) {
	h := start(t)
	life := func(id, queue string, requeueable bool) {
		task := timeline.Task{ID: id, Queue: queue, Runner: "river", Input: timeline.Payload(`{"card":"[REDACTED]"}`)}
		h.store.Add(querytest.NewLife(task, at).Failed(func(r *timeline.DeadLetterRef) { r.Requeueable, r.KeptInput = requeueable, true }).Events...)
	}
	life("kept", "payments", true)
	life("foreign", "orders", false)
	h.post("/tasks/kept/retry", "operator", "").want(202)
	asked := h.events("kept", timeline.DLQRetryRequested)
	if len(asked) != 1 || len(asked[0].Input) > 0 || asked[0].DeadLetter == nil || !asked[0].DeadLetter.KeptInput {
		t.Errorf("asked for by %+v", asked)
	}
	h.do("PUT", base+"/requeue-urls/orders", "admin", `{"url":"https://a.example.com/"}`).want(201)
	h.post("/tasks/foreign/retry", "operator", "").want(422, codeNotReplayable)
}

// A cancelled run's dead letter knows of its input what the agent said that stopped it.
func TestRetryOfACancelledRunWhoseInputWasRedacted(t *testing.T) {
	for name, ref := range map[string]timeline.DeadLetterRef{
		"kept": {KeptInput: true}, "sealed": {Sealed: []byte("s")}, "nowhere": {NotReplayable: "no key is set to seal the original"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			events := querytest.NewLife(timeline.Task{ID: name, Queue: "payments", Runner: "river", Input: timeline.Payload(`{"card":"[REDACTED]"}`)}, at).Started().Events
			last := events[len(events)-1]
			last.ID, last.Type, last.Seq, last.DeadLetter = timeline.DeriveID(name), timeline.TaskCancelled, last.Seq+1, &ref
			last.OccurredAt = last.OccurredAt.Add(time.Second)
			events = append(events, last)
			for i := range events {
				events[i].SourceID = "source-1"
			}
			h.store.Add(events...)
			if name == "nowhere" {
				h.post("/tasks/"+name+"/retry", "operator", "").want(422, codeNotReplayable)
				return
			}
			h.post("/tasks/"+name+"/retry", "operator", "").want(202)
			asked := h.events(name, timeline.DLQRetryRequested)
			if len(asked) != 1 || asked[0].DeadLetter.KeptInput != ref.KeptInput || string(asked[0].DeadLetter.Sealed) != string(ref.Sealed) {
				t.Errorf("asked for by %+v", asked)
			}
		})
	}
}
