package store

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// maxLimit bounds a page whatever was asked for.
const maxLimit = 200

func limitOf(p readmodel.Page) int { return min(max(p.Limit, 1), maxLimit) }

// keyset returns the condition and the order of a page in a list that falls by a
// time and an id, given as SQL expressions, and the arguments they name.
func keyset(p readmodel.Page, at, id string) (where, order string, args []any) {
	order = "ORDER BY " + at + " DESC, " + id + " DESC"
	compare := "<"
	if p.Backwards && p.After != nil {
		order, compare = "ORDER BY "+at+" ASC, "+id+" ASC", ">"
	}
	if p.After == nil {
		return "1", order, nil
	}
	return "(" + at + ", " + id + ") " + compare + " (fromUnixTimestamp64Nano({after_at:Int64}, 'UTC'), {after_id:String})", order,
		[]any{clickhouse.Named("after_at", nanos(p.After.At)), clickhouse.Named("after_id", p.After.ID)}
}

// finish makes a list of the rows that were found in the order of the query, of
// which there is one more than the page holds where the list goes on.
func finish[T any](p readmodel.Page, found []T, position func(*T) readmodel.Position) readmodel.List[T] {
	p.Limit = limitOf(p)
	return readmodel.Finish(p, found, position)
}

// nanos is a time as ClickHouse can hold it.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero() || t.Year() < 1970:
		return 0
	case t.Year() > 2261:
		return 1<<63 - 1
	default:
		return t.UnixNano()
	}
}

// filter gathers conditions and what they name. Conditions are constants of this
// package; values travel as parameters.
type filter struct {
	where []string
	args  []any
}

func (f *filter) add(condition, name string, value any) {
	f.where = append(f.where, condition)
	f.args = append(f.args, clickhouse.Named(name, value))
}

// in adds a condition where there are values.
func (f *filter) in(expr, name string, values []string) {
	if len(values) > 0 {
		f.add(expr+" IN {"+name+":Array(String)}", name, values)
	}
}

// within bounds a time; the parameters' names begin with the given one.
func (f *filter) within(expr, name string, r readmodel.Range) {
	if !r.From.IsZero() {
		f.add(expr+" >= fromUnixTimestamp64Nano({"+name+"_from:Int64}, 'UTC')", name+"_from", nanos(r.From))
	}
	if !r.To.IsZero() {
		f.add(expr+" < fromUnixTimestamp64Nano({"+name+"_to:Int64}, 'UTC')", name+"_to", nanos(r.To))
	}
}

func (f *filter) sql() string {
	if len(f.where) == 0 {
		return "1"
	}
	s := f.where[0]
	for _, w := range f.where[1:] {
		s += " AND " + w
	}
	return s
}

func textsOf[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
