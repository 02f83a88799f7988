package collector

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

const (
	doorFirst  = 64       // numbers remembered of a new source
	doorMost   = 2048     // and of a busy one: more than an agent has under way
	doorSlots  = 2 << 20  // of all sources together, 16 bytes each
	relearnMin = 16 << 20 // how much of the log's end is read again at the start, at least
	relearnMax = 256 << 20
)

// door tells what an agent sends again, because its answer was lost, from what is
// new: it remembers the last numbers of each source with a part of the event's
// id, and only what agrees in both is a repeat. So two machines with the same
// source (a copied disk) lose nothing. What it does not know any more, or another
// collector took, is written again, which readers and stores are made for.
//
// Only what was appended is remembered. Whoever finds his event here therefore
// knows that it is in the log, and has its fsync to wait for.
type door struct {
	mu      sync.Mutex
	sources map[string]*list.Element // of *seen; the one used last in front
	order   *list.List
	slots   int
	evicted uint64

	visits sync.Pool
}

// seen are the last numbers of a source. The place of a number follows from it,
// so that what collides is far apart; then the table grows, or forgets.
type seen struct {
	key   string
	slots []mark // a power of two of them
}

// mark is a number and the event that had it; 0 for none.
type mark struct{ seq, event uint64 }

func newDoor() *door {
	return &door{sources: map[string]*list.Element{}, order: list.New(), visits: sync.Pool{New: func() any {
		v := new(visit)
		v.inspect = v.look
		return v
	}}}
}

// visit is what a request brings that has a number.
type visit struct {
	env *wire.Envelope
	// operator and admin are what the sender may write.
	operator, admin bool
	inspect         func(int, *wire.Record) *timeline.FieldError

	keys   []byte // of the sources, one after the other
	groups []group
	marks  []mark
	places []int // of the marks, among the records taken
	found  []int
}

// group is marks in a row of one source.
type group struct{ keyFrom, keyTo, from, to int }

func (d *door) visit(env *wire.Envelope, operator, admin bool) *visit {
	v := d.visits.Get().(*visit)
	v.env, v.operator, v.admin = env, operator, admin
	v.keys, v.groups, v.marks, v.places, v.found = v.keys[:0], v.groups[:0], v.marks[:0], v.places[:0], v.found[:0]
	return v
}

func (d *door) leave(v *visit) {
	v.env = nil
	d.visits.Put(v)
}

// look notes a record, and refuses what the sender may not write.
func (v *visit) look(place int, r *wire.Record) *timeline.FieldError {
	if operatorsOnly(r.Type) && !v.operator {
		return &timeline.FieldError{Field: "event_name", Want: fmt.Sprintf("%s is written by operators: the token wants the scope %s", r.Type, ScopeOperate)}
	}
	if r.Type == timeline.SettingChanged && !v.admin && adminsOnly(string(r.Setting.Kind)) {
		return &timeline.FieldError{Field: wire.AttrSettingKind, Want: fmt.Sprintf("%s is set by administrators: the token wants the scope %s", r.Setting.Kind, ScopeAdmin)}
	}
	if len(r.SourceID) == 0 || r.SourceSeq == 0 || r.ID.IsZero() {
		return nil
	}
	namespace := r.Namespace
	if !v.env.AnyNamespace || len(namespace) == 0 {
		namespace = nil // the token's
	}
	from := len(v.keys)
	v.keys = append(v.keys, r.SourceID...)
	v.keys = append(v.keys, 0)
	if namespace == nil {
		v.keys = append(v.keys, v.env.Namespace...)
	} else {
		v.keys = append(v.keys, namespace...)
	}
	if n := len(v.groups); n > 0 && string(v.keys[v.groups[n-1].keyFrom:v.groups[n-1].keyTo]) == string(v.keys[from:]) {
		v.keys = v.keys[:from]
		v.groups[n-1].to++
	} else {
		v.groups = append(v.groups, group{from, len(v.keys), len(v.marks), len(v.marks) + 1})
	}
	v.marks = append(v.marks, mark{r.SourceSeq, binary.LittleEndian.Uint64(r.ID[:]) ^ binary.LittleEndian.Uint64(r.ID[8:])})
	v.places = append(v.places, place)
	return nil
}

// operatorsOnly are the types that make something happen, and that no agent
// writes.
func operatorsOnly(t timeline.Type) bool {
	switch t {
	case timeline.DLQRetryRequested, timeline.CancelRequested, timeline.DLQDiscarded, timeline.SettingChanged:
		return true
	default:
		return false
	}
}

// adminsOnly are the kinds of settings that give rights or send payloads
// elsewhere. One that is not known here may be such a one.
func adminsOnly(kind string) bool {
	switch kind {
	case timeline.SettingSilence, timeline.SettingAlertState, timeline.SettingBulk, timeline.SettingErrorGroup:
		return false
	default:
		return true
	}
}

// repeats returns the places of the records that stand in the log already.
func (d *door) repeats(v *visit) []int {
	if len(v.marks) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range v.groups {
		e := d.sources[string(v.keys[g.keyFrom:g.keyTo])]
		if e == nil {
			continue
		}
		s := e.Value.(*seen)
		for i := g.from; i < g.to; i++ {
			if s.slots[v.marks[i].seq&uint64(len(s.slots)-1)] == v.marks[i] {
				v.found = append(v.found, v.places[i])
			}
		}
	}
	return v.found
}

// remember enters what was appended.
func (d *door) remember(v *visit) {
	if len(v.marks) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range v.groups {
		s := d.source(v.keys[g.keyFrom:g.keyTo])
		for _, m := range v.marks[g.from:g.to] {
			d.slots += s.put(m)
		}
	}
	for d.slots > doorSlots && d.order.Len() > 1 {
		last := d.order.Back()
		s := last.Value.(*seen)
		d.order.Remove(last)
		delete(d.sources, s.key)
		d.slots -= len(s.slots)
		d.evicted++
	}
}

// source returns a source's numbers and makes it the one used last.
func (d *door) source(key []byte) *seen {
	if e := d.sources[string(key)]; e != nil {
		d.order.MoveToFront(e)
		return e.Value.(*seen)
	}
	s := &seen{key: string(key), slots: make([]mark, doorFirst)}
	d.slots += doorFirst
	d.sources[s.key] = d.order.PushFront(s)
	return s
}

// put enters a number and returns how many slots that took.
func (s *seen) put(m mark) (more int) {
	for {
		at := &s.slots[m.seq&uint64(len(s.slots)-1)]
		if at.seq == 0 || at.seq == m.seq || len(s.slots) >= doorMost {
			*at = m
			return more
		}
		more += len(s.slots)
		grown := make([]mark, 2*len(s.slots))
		for _, old := range s.slots {
			if old.seq != 0 {
				grown[old.seq&uint64(len(grown)-1)] = old
			}
		}
		s.slots = grown
	}
}

// forgotten is how many sources had to make room for others.
func (d *door) forgotten() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.evicted
}

// relearn reads the end of the log again: what was sent just before a restart is
// what will be sent again after it.
func (d *door) relearn(log *spool.Log) error {
	at := log.Tail(relearnMin)
	if uint64(log.End()-at) > relearnMax {
		return nil // segments so large that it is not worth the start's time
	}
	var b spool.Batch
	var rec wire.Record
	for {
		if err := log.ReadBatch(at, ledgerBatch, 0, &b); err != nil {
			return fmt.Errorf("read the end of the log: %w", err)
		}
		if b.Empty() {
			return nil
		}
		at = b.To
		for _, frame := range b.Frames {
			env, _, err := wire.DecodeFrame(frame)
			if err != nil {
				continue // the sinks say so
			}
			v := d.visit(&env, true, true)
			_ = wire.ScanFrame(frame, &rec, func(r *wire.Record) error {
				if !r.Derived {
					_ = v.look(0, r)
				}
				return nil
			})
			d.remember(v)
			d.leave(v)
		}
	}
}
