package collector

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func numbered(task string, seqs ...uint64) (out []timeline.Event) {
	for _, seq := range seqs {
		out = append(out, event(fmt.Sprint(task, "-", seq), 1, 1, seq, timeline.AttemptStarted))
	}
	return out
}

func TestWhatIsSentAgainIsWrittenOnce(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{quick(sink)}})
	first := numbered("t", 1, 2, 3, 7, 8)
	accept(t, c, first...)
	accept(t, c, first...)                                         // all of it again
	accept(t, c, append(numbered("t", 4, 5, 6), first[1:4]...)...) // a part of it, among what fills the hole
	accept(t, c, append(first[4:], numbered("after", 9)...)...)    // over a border
	other := event("other", 1, 1, 2, timeline.AttemptStarted)      // a copied disk: the number was used, the event is new
	foreign := event("foreign", 1, 1, 2, timeline.AttemptStarted)  // the same source in another namespace
	foreign.Namespace, foreign.ID = "b", first[1].ID               // even with the same id
	none := event("none", 1, 1, 0, timeline.AttemptStarted)        // without a number
	accept(t, c, other, foreign, none)
	accept(t, c, none)
	got := sink.awaitCount(t, 13)
	want := "t-1 t-2 t-3 t-7 t-8 t-4 t-5 t-6 after-9 other foreign none none"
	if ids := strings.Join(taskIDs(got), " "); ids != want {
		t.Errorf("written: %s\nwant:    %s", ids, want)
	}
	if l := c.Ledger(); l.Accepted != 13 || l.Repeated != 9 {
		t.Errorf("ledger: %+v", l)
	}
}

func TestWhatIsSentAgainAfterARestartIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	sink := newRecorder("truth")
	events := append(numbered("t", 1, 2, 3), event("foreign", 1, 0, 0, timeline.TaskFailed))
	events[3].ID, events[3].SourceID = timeline.ID{}, ""
	c := start(t, testConfig(dir), Deps{Sinks: []SinkSpec{quick(sink)}})
	accept(t, c, events...)
	sink.awaitCount(t, 4)
	stop(t, c)
	c = start(t, testConfig(dir), Deps{Sinks: []SinkSpec{quick(sink)}})
	accept(t, c, append(events[:3:3], numbered("t", 4)...)...)
	if got := taskIDs(sink.awaitCount(t, 5)); len(got) != 5 || got[4] != "t-4" {
		t.Errorf("written: %v", got)
	}
	if l := c.Ledger(); l.Repeated != 3 {
		t.Errorf("ledger: %+v", l)
	}
}

// A repeat is acknowledged when its first copy is on the disk, and not before.
func TestARepeatWaitsForTheFsyncOfTheFirst(t *testing.T) {
	c := start(t, testConfig(t.TempDir()), Deps{})
	log := c.log.Load()
	body := request(numbered("t", 1, 2)...)
	env := wire.Envelope{Namespace: "a"}
	v := c.door.visit(&env, false, false)
	report, err := wire.Check(body, wire.Limits{Inspect: v.inspect})
	if err != nil {
		t.Fatal(err)
	}
	end, err := c.append(log, env, report.Clean, 2, entry{})
	if err != nil {
		t.Fatal(err)
	}
	c.door.remember(v)
	if log.Durable() >= end {
		t.Fatal("the first copy is on the disk already: the test shows nothing")
	}
	if _, err := c.Accept(t.Context(), env, body); err != nil {
		t.Fatal(err)
	}
	if log.Durable() < end || log.End() != end {
		t.Errorf("acknowledged with %d of %d on the disk, the log's end is %d", log.Durable(), end, log.End())
	}
}

// What the log refused is not remembered: it is taken when it comes again.
func TestWhatWasRefusedIsNoRepeat(t *testing.T) {
	c := start(t, testConfig(t.TempDir()), Deps{})
	log := c.log.Load()
	env := wire.Envelope{Namespace: "a"}
	body := request(numbered("t", 1)...)
	for log.Stats().FreeBytes > 0 {
		if _, err := log.Append(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	for {
		if _, err := log.Append(make([]byte, 64)); err != nil {
			break
		}
	}
	if _, err := c.Accept(t.Context(), env, body); err == nil {
		t.Fatal("a full log took a request")
	}
	v := c.door.visit(&env, false, false)
	if _, err := wire.Check(body, wire.Limits{Inspect: v.inspect}); err != nil {
		t.Fatal(err)
	}
	if again := c.door.repeats(v); len(again) > 0 {
		t.Error("what was refused is remembered")
	}
}

func TestTheDoorIsBounded(t *testing.T) {
	d := newDoor()
	env := wire.Envelope{Namespace: "a"}
	see := func(source string, seq uint64) {
		v := d.visit(&env, false, false)
		v.look(0, &wire.Record{SourceID: []byte(source), SourceSeq: seq, ID: timeline.ID{1}})
		d.remember(v)
		d.leave(v)
	}
	known := func(source string, seq uint64) bool {
		v := d.visit(&env, false, false)
		defer d.leave(v)
		v.look(0, &wire.Record{SourceID: []byte(source), SourceSeq: seq, ID: timeline.ID{1}})
		return len(d.repeats(v)) > 0
	}
	const sources = doorSlots/doorFirst + 500
	for i := range sources {
		see(fmt.Sprint("s-", i), 1)
		see("busy", uint64(i+1))
	}
	if d.slots > doorSlots || len(d.sources) != d.order.Len() || d.forgotten() == 0 {
		t.Errorf("%d slots, %d sources, %d in order, %d forgotten", d.slots, len(d.sources), d.order.Len(), d.forgotten())
	}
	if known("s-0", 1) || !known(fmt.Sprint("s-", sources-1), 1) {
		t.Error("not the oldest was forgotten")
	}
	if !known("busy", sources) || !known("busy", sources-doorMost+1) || known("busy", sources-doorMost) {
		t.Errorf("the busy one is not remembered by its last %d numbers", doorMost)
	}
	// Numbers that all want the same place take no more than there is.
	for i := range uint64(100) {
		see("sparse", 1+i<<40)
	}
	if n := len(d.sources["sparse\x00a"].Value.(*seen).slots); n > doorMost {
		t.Errorf("%d slots for a sparse source", n)
	}
}

// Whoever may only report can start and stop nothing.
func TestOperatorsEventsWantTheScope(t *testing.T) {
	sink := newRecorder("truth")
	c := start(t, testConfig(t.TempDir()), Deps{Sinks: []SinkSpec{{Sink: sink}}})
	operators := []timeline.Type{timeline.DLQRetryRequested, timeline.CancelRequested, timeline.DLQDiscarded}
	refused := 0
	for i, typ := range operators {
		e := event(fmt.Sprint("t-", i), 2, 0, 0, typ)
		beside := event("beside", 1, 1, 0, timeline.AttemptStarted)
		for _, token := range []string{"ingest-a", "agent-a"} {
			code, _, answer := post(t, c, pathLogs, request(e, beside), "Authorization", "Bearer "+token)
			if refused++; code != http.StatusOK || !strings.Contains(string(answer), "event_name") || !strings.Contains(string(answer), ScopeOperate) || !strings.Contains(string(answer), typ.String()) {
				t.Errorf("HTTP, %s, %v: %d %q", token, typ, code, answer)
			}
			resp, err := collogspb.NewLogsServiceClient(dial(t, c)).Export(bearer(t, token), unmarshalLogs(t, request(e)))
			if refused++; err != nil || resp.GetPartialSuccess().GetRejectedLogRecords() != 1 {
				t.Errorf("gRPC, %s, %v: %v %v", token, typ, resp, err)
			}
		}
	}
	for _, e := range sink.awaitCount(t, 2*len(operators)) {
		if e.Task.ID != "beside" {
			t.Errorf("taken: %v of %s", e.Type, e.Task.ID)
		}
	}
	for i, typ := range operators {
		e := event(fmt.Sprint("t-", i), 2, 0, 0, typ)
		code, _, answer := post(t, c, pathLogs, request(e), "Authorization", "Bearer operator")
		if code != http.StatusOK || len(answer) > 0 {
			t.Errorf("an operator's %v: %d %q", typ, code, answer)
		}
		if err := c.WriteEvents(t.Context(), "a", []timeline.Event{e}); err != nil {
			t.Errorf("%v of this process: %v", typ, err)
		}
	}
	if l := c.Ledger(); l.Refused != uint64(refused) {
		t.Errorf("refused %d, counted %d", refused, l.Refused)
	}
}

// What gives rights, or sends payloads elsewhere, is for administrators: else
// whoever may operate could make a key that may do anything.
func TestSettingsThatGiveRightsWantAnAdministrator(t *testing.T) {
	c := start(t, testConfig(t.TempDir()), Deps{Auth: tokens{
		"operator": {Namespace: "a", Scopes: []string{ScopeOperate}}, "admin": {Namespace: "a", Scopes: []string{ScopeAdmin}},
	}})
	for kind, want := range map[string]bool{
		timeline.SettingSilence: true, timeline.SettingAlertState: true, timeline.SettingBulk: true, timeline.SettingErrorGroup: true,
		timeline.SettingKey: false, timeline.SettingRequeueURL: false, timeline.SettingChannel: false, timeline.SettingRule: false, "of tomorrow": false,
	} {
		e := timeline.NewSettingEvent("a", timeline.Setting{Kind: kind, ID: "x", Version: 1, Body: []byte(`{}`)}, timeline.Operator{Actor: "eve"}, time.Now())
		for token, may := range map[string]bool{"operator": want, "admin": true} {
			code, _, answer := post(t, c, pathLogs, request(e), "Authorization", "Bearer "+token)
			if taken := code == http.StatusOK && len(answer) == 0; taken != may || !may && !strings.Contains(string(answer), ScopeAdmin) {
				t.Errorf("%s by %s: %d %q", kind, token, code, answer)
			}
		}
	}
}
