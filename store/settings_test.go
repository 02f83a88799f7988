package store_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// The highest version is in force whatever the order of arrival, and what was
// deleted does not come back with a version that arrives late.
func TestTheHighestVersionOfASettingIsInForce(t *testing.T) {
	s := open(t)
	set := func(id string, version uint64, deleted bool, body string) timeline.Event {
		return timeline.NewSettingEvent("", timeline.Setting{Kind: timeline.SettingSilence, ID: id, Version: version, Deleted: deleted, Body: json.RawMessage(body)},
			timeline.Operator{Actor: "ada", Reason: "maintenance"}, start.Add(time.Duration(version)*time.Second))
	}
	for range 2 {
		write(t, s, set("b", 2, false, `{"n":2}`), set("a", 1, false, `{"n":1}`))
		write(t, s, set("b", 1, false, `{"n":1}`), set("gone", 5, true, ""))
		write(t, s, set("gone", 4, false, `{"n":4}`))
	}
	found, err := s.Settings(t.Context(), "default", timeline.SettingSilence)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].ID != "a" || found[1].ID != "b" || found[1].Version != 2 || string(found[1].Body) != `{"n":2}` {
		t.Errorf("in force: %s", asJSON(t, found))
	}
	if got := found[1]; got.Operator.Actor != "ada" || !got.ChangedAt.Equal(start.Add(2*time.Second)) || got.Namespace != "default" {
		t.Errorf("who and when: %s", asJSON(t, got))
	}
	for ns, kind := range map[string]string{"other": timeline.SettingSilence, "default": timeline.SettingChannel} {
		if found, err := s.Settings(t.Context(), ns, kind); err != nil || len(found) != 0 {
			t.Errorf("%s in %s: %s, %v", kind, ns, asJSON(t, found), err)
		}
	}
	if all, err := s.Settings(t.Context(), "", timeline.SettingSilence); err != nil || len(all) != 2 {
		t.Errorf("of all namespaces: %s, %v", asJSON(t, all), err)
	}
	gone, err := s.Setting(t.Context(), "", timeline.SettingSilence, "gone")
	if err != nil || !gone.Deleted || gone.Version != 5 {
		t.Errorf("the deleted one: %s, %v", asJSON(t, gone), err)
	}
	if _, err := s.Setting(t.Context(), "", timeline.SettingSilence, "never"); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("one that never was: %v", err)
	}
	if _, err := s.Timeline(t.Context(), everything, ""); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("a setting became a task: %v", err)
	}
}
