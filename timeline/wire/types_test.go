package wire

import (
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

// What a reader of some types gets is what it would have picked out of all.
func TestScanTypesGivesWhatScanFrameGives(t *testing.T) {
	var records [][]byte
	var events []timeline.Event
	for typ := timeline.TaskCreated; typ <= timeline.TaskHeartbeat; typ++ {
		e := timeline.Event{Type: typ, Task: timeline.Task{ID: "t"}, Run: 1}
		if !typ.OfTask() {
			continue
		}
		events = append(events, e)
		records = append(records, AppendLogRecord(nil, &e))
	}
	frame := AppendFrame(nil, Envelope{}, AppendExportRequest(nil, Resource{}, records))
	read := func(scan func(*Record, func(*Record) error) error) (types []timeline.Type) {
		t.Helper()
		var rec Record
		if err := scan(&rec, func(r *Record) error { types = append(types, r.Type); return nil }); err != nil {
			t.Fatal(err)
		}
		return types
	}
	all := read(func(rec *Record, yield func(*Record) error) error { return ScanFrame(frame, rec, yield) })
	live := read(func(rec *Record, yield func(*Record) error) error { return ScanLive(frame, rec, yield) })
	if len(all)+len(live) != len(events) || len(live) != 2 {
		t.Errorf("%d stored and %d live of %d", len(all), len(live), len(events))
	}
	for _, typ := range all {
		got := read(func(rec *Record, yield func(*Record) error) error { return ScanTypes(frame, TypesOf(typ), rec, yield) })
		if len(got) != 1 || got[0] != typ {
			t.Errorf("asked for %v: %v", typ, got)
		}
	}
	if got := read(func(rec *Record, yield func(*Record) error) error {
		return ScanTypes(frame, TypesOf(timeline.TaskHeartbeat), rec, yield)
	}); len(got) != 0 {
		t.Errorf("live data among what is stored: %v", got)
	}
}
