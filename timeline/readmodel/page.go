package readmodel

import (
	"cmp"
	"slices"
)

// PageOf cuts a page out of a whole list, which it sorts: newest first, ties by the
// id. Positions must differ.
func PageOf[T any](rows []T, p Page, position func(*T) Position) List[T] {
	order := func(x, y Position) int { return cmp.Or(y.At.Compare(x.At), cmp.Compare(y.ID, x.ID)) }
	slices.SortStableFunc(rows, func(x, y T) int { return order(position(&x), position(&y)) })
	if p.After != nil {
		i, found := slices.BinarySearchFunc(rows, *p.After, func(r T, after Position) int { return order(position(&r), after) })
		switch {
		case p.Backwards:
			rows = slices.Clone(rows[:i])
			slices.Reverse(rows)
		case found:
			rows = rows[i+1:]
		default:
			rows = rows[i:]
		}
	}
	return Finish(p, rows, position)
}

// Finish makes a page of the rows that were found behind its beginning, in the
// order in which they were looked for: backwards where the page is. There is at
// least one more than the page holds where the list goes on.
func Finish[T any](p Page, found []T, position func(*T) Position) List[T] {
	more := len(found) > p.Limit
	rows := found[:min(len(found), p.Limit)]
	back := p.Backwards && p.After != nil
	if back {
		slices.Reverse(rows)
	}
	list := List[T]{Rows: rows}
	if len(rows) == 0 {
		return list
	}
	if more || back {
		next := position(&rows[len(rows)-1])
		list.Next = &next
	}
	if p.After != nil && (!back || more) {
		prev := position(&rows[0])
		list.Prev = &prev
	}
	return list
}
