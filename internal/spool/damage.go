package spool

import (
	"slices"
	"sync"
)

const maxDamageListed = 1024

// Damage is a range of the log whose bytes do not check out. Its frames are
// skipped by readers and reported in Batch.Damaged.
type Damage struct {
	// From and To are the positions around the damage.
	From, To Position
	// FirstSeq is the first sequence number that is missing, NextSeq the first
	// that is there again; equal when no number is missing or none is known.
	FirstSeq, NextSeq uint64
	// Tail says that it was the end of the log when the log was opened. A power
	// cut in the middle of writing unsynced frames looks like this, too.
	Tail bool
}

// Missing returns how many sequence numbers the damage took.
func (d Damage) Missing() uint64 {
	if d.NextSeq <= d.FirstSeq {
		return 0
	}
	return d.NextSeq - d.FirstSeq
}

// damageList is what was found damaged since Open, once however many readers
// come past it.
type damageList struct {
	mu             sync.Mutex
	list           []Damage // by From
	ranges         uint64
	bytes, missing uint64
}

// noteDamage counts a range that was not known, and returns what is known of it.
func (l *Log) noteDamage(d Damage) Damage {
	dl := &l.damage
	dl.mu.Lock()
	defer dl.mu.Unlock()
	i, known := slices.BinarySearchFunc(dl.list, d.From, func(have Damage, from Position) int {
		switch {
		case have.From < from:
			return -1
		case have.From > from:
			return 1
		}
		return 0
	})
	if known && dl.list[i].To >= d.To {
		return Damage{From: d.From, To: d.To, FirstSeq: dl.list[i].FirstSeq, NextSeq: max(dl.list[i].NextSeq, d.NextSeq), Tail: dl.list[i].Tail}
	}
	if known { // found before more was appended behind it
		have := &dl.list[i]
		dl.bytes += uint64(d.To - have.To)
		dl.missing -= have.Missing()
		if d.Missing() < have.Missing() {
			d.FirstSeq, d.NextSeq = have.FirstSeq, max(have.NextSeq, d.NextSeq)
		}
		dl.missing += d.Missing()
		d.Tail = have.Tail
		*have = d
		return d
	}
	dl.ranges++
	dl.bytes += uint64(d.To - d.From)
	dl.missing += d.Missing()
	if len(dl.list) < maxDamageListed {
		dl.list = slices.Insert(dl.list, i, d)
	}
	l.log.Error("a part of the log is damaged; its frames are skipped", "dir", l.opts.Dir,
		"from", d.From, "to", d.To, "first_seq", d.FirstSeq, "next_seq", d.NextSeq, "tail", d.Tail)
	return d
}

func (dl *damageList) stats(st *Stats) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	st.DamagedRanges, st.DamagedBytes, st.DamagedFrames = dl.ranges, dl.bytes, dl.missing
}

// Damaged returns the ranges found damaged since Open, at Open or by a reader,
// by position. Of very many, the list keeps the first 1024 found; Stats counts
// all.
func (l *Log) Damaged() []Damage {
	l.damage.mu.Lock()
	defer l.damage.mu.Unlock()
	return slices.Clone(l.damage.list)
}
