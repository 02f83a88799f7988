package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// SeqRange is the sequence numbers From to To, both included.
type SeqRange struct {
	From, To uint64
}

// SourceLedger is what stands of one source's events, by their sequence numbers.
// A source numbers without gaps from 1 on; what is below Lowest was never there
// or is past the retention.
type SourceLedger struct {
	SourceID string
	// Lowest and Highest are the least and the greatest number there is.
	Lowest, Highest uint64
	// Events counts the different numbers that are there.
	Events uint64
	// Excused counts the missing numbers between that tombstones account for.
	Excused uint64
	// Missing are those that nothing accounts for; MissingEvents is how many. Only
	// the first thousand ranges are told.
	Missing       []SeqRange
	MissingEvents uint64
}

// maxMissing bounds the ranges that a ledger tells of.
const maxMissing = 1000

// Verify returns the ledger of every source, by its id.
func (s *Store) Verify(ctx context.Context) ([]SourceLedger, error) {
	excused, err := s.tombstones(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	out, err := s.ledgers(ctx, excused)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return out, nil
}

// tombstones returns the ranges they cover by source, joined and in order.
func (s *Store) tombstones(ctx context.Context) (covered map[string][]SeqRange, err error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, "SELECT DISTINCT source_id, from_seq, to_seq FROM gaps WHERE to_seq >= from_seq ORDER BY source_id, from_seq, to_seq")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	covered = map[string][]SeqRange{}
	for rows.Next() {
		var id string
		var r SeqRange
		if err := rows.Scan(&id, &r.From, &r.To); err != nil {
			return nil, err
		}
		list := covered[id]
		if n := len(list); n > 0 && r.From <= list[n-1].To {
			list[n-1].To = max(list[n-1].To, r.To)
		} else {
			list = append(list, r)
		}
		covered[id] = list
	}
	return covered, rows.Err()
}

// ledgers reads the numbers chunk by chunk. Of a chunk without a hole only its
// ends are sent.
func (s *Store) ledgers(ctx context.Context, excused map[string][]SeqRange) (out []SourceLedger, err error) {
	ctx, cancel := s.reading(ctx, scanRead)
	defer cancel()
	rows, err := s.read.Query(ctx, lines(
		"SELECT source_id, lo, hi, n, if(n = hi - lo + 1, [], bitmapToArray(seqs)) FROM (",
		"SELECT source_id, chunk, groupBitmapMergeState(l.seqs) AS seqs, toUInt64(bitmapMin(seqs)) AS lo, toUInt64(bitmapMax(seqs)) AS hi, bitmapCardinality(seqs) AS n",
		"FROM ledger AS l GROUP BY source_id, chunk) ORDER BY source_id, chunk"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var lo, hi, n uint64
		var seqs []uint64
		if err := rows.Scan(&id, &lo, &hi, &n, &seqs); err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].SourceID != id {
			out = append(out, SourceLedger{SourceID: id, Lowest: lo, Highest: lo - 1})
		}
		l := &out[len(out)-1]
		l.Events += n
		if len(seqs) == 0 {
			l.miss(SeqRange{l.Highest + 1, lo - 1}, excused[id])
			l.Highest = hi
			continue
		}
		slices.Sort(seqs)
		for _, seq := range seqs {
			l.miss(SeqRange{l.Highest + 1, seq - 1}, excused[id])
			l.Highest = seq
		}
	}
	return out, rows.Err()
}

// miss notes that the numbers of a range are not there.
func (l *SourceLedger) miss(r SeqRange, excused []SeqRange) {
	if r.From > r.To {
		return
	}
	i, _ := slices.BinarySearchFunc(excused, r.From, func(e SeqRange, from uint64) int { return cmp.Compare(e.To, from) })
	for ; i < len(excused) && excused[i].From <= r.To; i++ {
		e := excused[i]
		if e.From > r.From {
			l.note(SeqRange{r.From, e.From - 1})
		}
		l.Excused += min(e.To, r.To) - max(e.From, r.From) + 1
		if e.To >= r.To {
			return
		}
		r.From = e.To + 1
	}
	l.note(r)
}

func (l *SourceLedger) note(r SeqRange) {
	l.MissingEvents += r.To - r.From + 1
	if len(l.Missing) < maxMissing {
		l.Missing = append(l.Missing, r)
	}
}
