package query

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

func lifeOf(id string) *querytest.Life {
	return querytest.NewLife(timeline.Task{ID: id, Type: "payment", Runner: "asynq", UserID: "u1"}, at).Failed()
}

type idPage struct {
	Data []struct {
		ID string `json:"task_id"`
	}
	NextCursor *string `json:"next_cursor"`
	PrevCursor *string `json:"prev_cursor"`
}

func (p idPage) ids() []string {
	var ids []string
	for _, d := range p.Data {
		ids = append(ids, d.ID)
	}
	return ids
}

// TestPagesAreStable goes through a list forwards and back while rows arrive.
func TestPagesAreStable(t *testing.T) {
	for _, path := range []string{"/tasks", "/failed-tasks"} {
		t.Run(path, func(t *testing.T) {
			h := start(t)
			var want []string
			add := func(i int) {
				h.store.Add(querytest.NewLife(timeline.Task{ID: fmt.Sprintf("t%03d", i), Runner: "asynq"}, at.Add(time.Duration(i/3)*time.Minute)).Failed().Events...)
			}
			for i := range 25 {
				add(i)
				want = append(want, fmt.Sprintf("t%03d", i))
			}
			get := func(cursor string) (p idPage) {
				target := path + "?limit=4"
				if cursor != "" {
					target += "&cursor=" + url.QueryEscape(cursor)
				}
				h.get(target, "reader").want(200).json(&p)
				return p
			}
			var forward []string
			p := get("")
			if p.PrevCursor != nil {
				t.Error("the first page goes back")
			}
			var pages [][]string
			for i := 0; ; i++ {
				forward = append(forward, p.ids()...)
				pages = append(pages, p.ids())
				if p.NextCursor == nil {
					break
				}
				add(100 + i) // newer than everything: on no later page
				p = get(*p.NextCursor)
			}
			sorted := slices.Sorted(slices.Values(forward))
			if !slices.Equal(sorted, want) {
				t.Errorf("forwards %v", sorted)
			}
			for i := len(pages) - 2; i >= 0; i-- {
				if p.PrevCursor == nil {
					t.Fatalf("page %d does not go back", i+1)
				}
				p = get(*p.PrevCursor)
				if !slices.Equal(p.ids(), pages[i]) {
					t.Errorf("page %d back is %v, was %v", i, p.ids(), pages[i])
				}
			}
			if n := get(*p.NextCursor); !slices.Equal(n.ids(), pages[1]) {
				t.Errorf("back and forth is %v, want %v", n.ids(), pages[1])
			}
		})
	}
}

func TestCursorsAreBound(t *testing.T) {
	h := start(t)
	for i := range 5 {
		h.store.Add(lifeOf(fmt.Sprint(i)).Events...)
	}
	var p idPage
	h.get("/tasks?limit=2&state=failed", "reader").want(200).json(&p)
	c := *p.NextCursor
	h.get("/tasks?limit=3&state=failed&cursor="+c, "reader").want(200)
	h.get("/tasks?state=failed&cursor="+c+"&namespace=default", "reader").want(200)
	h.get("/tasks?limit=2&cursor="+c, "reader").want(400, codeCursorMismatch)
	h.get("/tasks?state=failed,lost&cursor="+c, "reader").want(400, codeCursorMismatch)
	h.get("/failed-tasks?cursor="+c, "reader").want(400, codeCursorMismatch)
	h.get("/tasks?state=failed&cursor="+c, "user").want(400, codeCursorMismatch)
	h.get("/tasks?state=failed&cursor="+c, "elsewhere").want(400, codeCursorMismatch)
	for i := range c {
		forged := []byte(c)
		if forged[i] = 'A'; c[i] == 'A' {
			forged[i] = 'B'
		}
		if a := h.get("/tasks?state=failed&cursor="+string(forged), "reader").want(400); a.problem().Field != "cursor" {
			t.Fatalf("a forged cursor: %s", a.body)
		}
	}
}

func TestGapsAreMarked(t *testing.T) {
	h := start(t)
	l := querytest.NewLife(timeline.Task{ID: "t"}, at).Completed()
	type span struct {
		run      int
		from, to uint64
	}
	for i, c := range []struct {
		change func([]timeline.Event) []timeline.Event
		want   []span
	}{
		{func(e []timeline.Event) []timeline.Event { return e }, nil},
		{func(e []timeline.Event) []timeline.Event { return slices.Delete(e, 2, 4) }, []span{{1, 3, 4}}},
		{func(e []timeline.Event) []timeline.Event { return e[1:] }, []span{{1, 1, 1}}},
		{func(e []timeline.Event) []timeline.Event { return []timeline.Event{e[0], e[2], e[4]} }, []span{{1, 2, 2}, {1, 4, 4}}},
		// The enqueuing side's task_created is shown, the agent's own is not.
		{func(e []timeline.Event) []timeline.Event { e[0].SourceID = "enqueuer"; return e }, nil},
		// So it is where both sides are one source.
		{func(e []timeline.Event) []timeline.Event { e[0].Seq = 0; return e }, nil},
		// And a collector's task_lost counts on from what it saw of the agent.
		{func(e []timeline.Event) []timeline.Event {
			e[0].SourceID, e[0].Seq, e[3].SourceID, e[3].Seq = "enqueuer", 0, "collector", 3
			return e[:4]
		}, nil},
		// A second source counts on from the first.
		{func(e []timeline.Event) []timeline.Event { e[3].SourceID, e[4].SourceID = "b", "b"; return e }, nil},
		// A foreign SDK counts nothing.
		{func(e []timeline.Event) []timeline.Event {
			for i := range e {
				e[i].Seq = 0
			}
			return e[2:]
		}, nil},
	} {
		var got []span
		for _, g := range findGaps(c.change(slices.Clone(l.Events))) {
			got = append(got, span{g.Run, g.Gap.From, g.Gap.To})
		}
		slices.SortFunc(got, func(a, b span) int { return int(a.from) - int(b.from) })
		if !slices.Equal(got, c.want) {
			t.Errorf("case %d: gaps %v, want %v", i, got, c.want)
		}
	}
	h.store.Add(slices.Delete(slices.Clone(l.Events), 2, 4)...)
	var page struct {
		Data []struct{ Type string }
	}
	check := func(query string, want ...string) {
		t.Helper()
		page.Data = nil
		h.get("/tasks/t/timeline"+query, "reader").want(200).json(&page)
		var got []string
		for _, e := range page.Data {
			got = append(got, e.Type)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	check("", "task_created", "task_started", "gap", "task_completed")
	check("?types=gap", "gap")
	check("?types=task_started,task_completed", "task_started", "task_completed")
	check("?severity=warning", "gap")
	check("?run=2")
	check("?after="+l.Events[0].ID.String(), "task_started", "gap", "task_completed")
	check("?after="+l.Events[1].OccurredAt.Format(time.RFC3339), "gap", "task_completed")
	h.get("/tasks/t/timeline?after="+l.Events[2].ID.String(), "reader").want(400, codeInvalidParameter)
}
