package query

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

// TestPagesOfErrorGroupsByStatusAreFull: the groups of a status stand far apart
// among others, and every page but the last is full all the same, forwards and
// back.
func TestPagesOfErrorGroupsByStatusAreFull(t *testing.T) {
	now := at.Add(time.Hour)
	h := start(t, func(_ *Config, d *Deps) { d.Now = func() time.Time { return now } })
	want := map[string][]string{} // status → fingerprints, the last seen first
	fail := func(id, print string, when time.Time) {
		life := querytest.NewLife(timeline.Task{ID: id, Type: "payment"}, when).Failed()
		for i := range life.Events {
			if e := life.Events[i].Error; e != nil {
				other := *e
				other.Fingerprint = print
				life.Events[i].Error = &other
			}
		}
		h.store.Add(life.Events...)
	}
	for i := range 30 {
		print := fmt.Sprintf("fp1:%016d", i)
		fail(print, print, at.Add(time.Duration(i)*time.Second))
		status := []string{groupOpen, groupOpen, groupResolved, groupIgnored, groupRegressed}[i%5]
		decided := "/errors/" + url.PathEscape(print)
		switch status {
		case groupIgnored:
			h.post(decided+"/ignore", "operator", "").want(200)
		case groupResolved, groupRegressed:
			h.post(decided+"/resolve", "operator", "").want(200)
		}
		if status == groupRegressed {
			fail(print+"-again", print, now.Add(time.Duration(i+1)*time.Second))
		}
		want[status] = append(want[status], print)
	}
	for _, v := range want {
		slices.Reverse(v)
	}
	for _, statuses := range [][]string{{groupOpen}, {groupResolved}, {groupIgnored}, {groupRegressed}, {groupIgnored, groupRegressed}, {groupOpen, groupRegressed}} {
		total := 0
		for _, s := range statuses {
			total += len(want[s])
		}
		for _, limit := range []int{1, 2, 5, 6, 7, 50} {
			target := fmt.Sprintf("/errors?status=%s&limit=%d", strings.Join(statuses, ","), limit)
			var forwards, backwards []string
			var page listBody[errorGroupView]
			for cursor := ""; ; cursor = "&cursor=" + url.QueryEscape(*page.NextCursor) {
				page = listBody[errorGroupView]{}
				h.get(target+cursor, "reader").want(200).json(&page)
				for _, g := range page.Data {
					if !slices.Contains(statuses, g.Status) {
						t.Fatalf("%s shows a group that is %s", target, g.Status)
					}
					forwards = append(forwards, g.Fingerprint)
				}
				if page.NextCursor == nil {
					break
				}
				if len(page.Data) != limit {
					t.Fatalf("%s: a page of %d with more behind it", target, len(page.Data))
				}
			}
			if len(forwards) != total || len(slices.Compact(slices.Sorted(slices.Values(forwards)))) != total {
				t.Errorf("%s: %d groups, want %d", target, len(forwards), total)
			}
			if len(statuses) == 1 && !slices.Equal(forwards, want[statuses[0]]) {
				t.Errorf("%s: %v, want %v", target, forwards, want[statuses[0]])
			}
			last := len(page.Data)
			for page.PrevCursor != nil {
				cursor := "&cursor=" + url.QueryEscape(*page.PrevCursor)
				page = listBody[errorGroupView]{}
				h.get(target+cursor, "reader").want(200).json(&page)
				for i := len(page.Data) - 1; i >= 0; i-- {
					backwards = append(backwards, page.Data[i].Fingerprint)
				}
			}
			slices.Reverse(backwards)
			if !slices.Equal(backwards, forwards[:len(forwards)-last]) {
				t.Errorf("%s: on the way back %v", target, backwards)
			}
		}
	}
}
