package main

import (
	"context"
	"math"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// History implements query.Reader with a past that is made up: a chart of forty
// tasks is none. One user's is of the store's tasks.
func (w *world) History(ctx context.Context, scope readmodel.Scope, q readmodel.HistoryQuery) (readmodel.History, error) {
	if scope.UserID != "" {
		return w.Store.History(ctx, scope, q)
	}
	var rows []readmodel.HistoryRow
	for at := q.From; at.Before(q.To); at = at.Add(readmodel.HistoryMinute) {
		rows = append(rows, pastMinute(at)...)
	}
	return readmodel.HistoryOf(q, rows), nil
}

// pastMinute is what a minute came to: more by day than by night, with a bank that is
// down for ten minutes of every three quarters of an hour.
func pastMinute(at time.Time) []readmodel.HistoryRow {
	m := float64(at.Unix() / 60)
	wave := 1 + 0.35*math.Sin(m/97) + 0.15*math.Sin(m/5.3) + 0.1*math.Sin(m*1.7)
	down := int64(m)%45 < 10
	var rows []readmodel.HistoryRow
	for _, kind := range []struct {
		name        string
		perMinute   float64
		median      time.Duration
		throughBank bool
	}{{"send_email", 42, 180 * time.Millisecond, false}, {"payment", 18, 640 * time.Millisecond, true}, {"withdrawal", 4, 900 * time.Millisecond, true}, {"import_orders", 1.6, 14 * time.Second, false}} {
		n := math.Round(kind.perMinute * wave)
		failed, slower := 0.0, 1.0
		if kind.throughBank && down {
			failed, slower = math.Round(n*0.3), 3
		}
		r := readmodel.HistoryRow{At: at, Type: kind.name, HistorySums: readmodel.HistorySums{
			Completed: uint64(n - failed), Failed: uint64(failed), DeadLetters: uint64(failed), Attempts: uint64(n), FailedAttempts: uint64(failed), Durations: map[uint16]uint64{},
		}}
		for i := range int(n) {
			// A long tail, as durations have.
			d := time.Duration(float64(kind.median) * slower * math.Exp(0.55*math.Tan(math.Pi*(float64(i)+0.5)/n/1.25-math.Pi/2.5)))
			r.DurationSum += uint64(d)
			r.Durations[readmodel.DurationBucket(d)]++
		}
		rows = append(rows, r)
	}
	return rows
}
