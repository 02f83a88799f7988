package readmodel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// A list is walked forwards and back over every page size, rows of one time
// included.
func TestPagesOfAWholeList(t *testing.T) {
	base := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	var rows []readmodel.Position
	for i := range 23 {
		rows = append(rows, readmodel.Position{At: base.Add(time.Duration(i/3) * time.Second), ID: fmt.Sprintf("%02d", i)})
	}
	at := func(p *readmodel.Position) readmodel.Position { return *p }
	for limit := 1; limit <= 25; limit++ {
		var walked []readmodel.Position
		page := readmodel.Page{Limit: limit}
		var last readmodel.List[readmodel.Position]
		for {
			last = readmodel.PageOf(append([]readmodel.Position(nil), rows...), page, at)
			walked = append(walked, last.Rows...)
			if last.Next == nil {
				break
			}
			page.After = last.Next
		}
		if len(walked) != len(rows) || walked[0].ID != "23" && walked[0].ID != "22" {
			t.Fatalf("limit %d: %d rows, %v", limit, len(walked), walked)
		}
		for i := 1; i < len(walked); i++ {
			if walked[i].At.After(walked[i-1].At) || walked[i].At.Equal(walked[i-1].At) && walked[i].ID >= walked[i-1].ID {
				t.Fatalf("limit %d: %v before %v", limit, walked[i-1], walked[i])
			}
		}
		back := len(last.Rows)
		for last.Prev != nil {
			last = readmodel.PageOf(append([]readmodel.Position(nil), rows...), readmodel.Page{Limit: limit, After: last.Prev, Backwards: true}, at)
			back += len(last.Rows)
		}
		if back != len(rows) {
			t.Fatalf("limit %d: %d rows on the way back", limit, back)
		}
	}
}
