package wire

import "github.com/tasktrail/tasktrail/timeline"

// ScanBrief is [ScanTypes] for a reader to whom of some types it is enough, mostly,
// to know whose events they are: records of the types in brief are yielded with
// Type, Severity, SourceID, Seq, Namespace, TaskID, Run, Attempt, Attempts,
// OccurredAt, IngestedAt, TraceID and Raw alone, and [Record.Complete] reads the
// rest where it is wanted after all. That takes a third of the time.
func ScanBrief(frame []byte, want, brief Types, rec *Record, yield func(*Record) error) error {
	env, err := openFrame(frame)
	if err != nil {
		return err
	}
	want &^= liveTypes
	rec.lenient = true
	defer func() { rec.lenient = false }()
	at := standing{&env, &walker{request: env.request}}
	for {
		record, ok := at.w.next()
		if !ok {
			break
		}
		if rec.readBrief(record) {
			if !want.Has(rec.Type) || len(rec.TaskID) == 0 && rec.Type.OfTask() {
				continue
			}
			if brief.Has(rec.Type) {
				rec.placeBrief(&env)
				rec.standing = at
				err := yield(rec)
				rec.standing = standing{}
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := rec.take(record, &env, at.w, want, yield); err != nil {
			return err
		}
	}
	return at.w.err()
}

// standing is where the record in hand stands, for Complete.
type standing struct {
	env *envelope
	w   *walker
}

// Complete reads what [ScanBrief] left out. It does nothing to a record that was
// read as a whole, and must be called before yield returns.
func (rec *Record) Complete() {
	at := rec.standing
	if at.env == nil {
		return
	}
	// It was read before, by whoever accepted it; what does not decode stays brief.
	if DecodeLogRecord(rec.Raw, rec) == nil {
		rec.place(at.env, at.w)
	}
}

// readBrief reads what a brief record has; false where the record has any of it in
// an unusual form and is to be decoded as a whole.
func (rec *Record) readBrief(b []byte) bool {
	if rec.whole {
		rec.reset(nil)
		rec.whole = false
	}
	rec.Raw = b
	rec.SourceID, rec.Namespace, rec.TaskID, rec.name = nil, nil, nil, nil
	rec.Seq, rec.Run, rec.Attempt, rec.Attempts = 0, 0, 0, 0
	rec.OccurredAt, rec.IngestedAt, rec.TraceID = 0, 0, timeline.TraceID{}
	for len(b) > 0 {
		if b[0] == tagAttributes {
			kv, rest, ok := delimited(b[1:])
			if !ok {
				return false
			}
			b = rest
			if !rec.briefAttribute(kv) {
				return false
			}
			continue
		}
		f, rest, ok := nextField(b)
		if !ok {
			return false
		}
		b = rest
		switch f.num<<3 | uint32(f.wire) {
		case tagTime:
			rec.OccurredAt = int64(f.n)
		case tagObserved:
			rec.IngestedAt = int64(f.n)
		case tagTraceID:
			if len(f.b) != len(rec.TraceID) && len(f.b) != 0 {
				return false
			}
			copy(rec.TraceID[:], f.b)
		case tagEventName:
			rec.name = f.b
		}
	}
	t, ok := timeline.ParseTypeBytes(rec.name)
	if !ok {
		return false
	}
	rec.Type, rec.Severity = t, t.Severity()
	rec.defaults()
	return true
}

// briefAttribute reads one attribute where it is one of the brief ones; false
// where that stands there in an unusual form.
func (rec *Record) briefAttribute(kv []byte) bool {
	if len(kv) < 2 || kv[0] != tagKey || int(kv[1]) > len(kv)-2 {
		return false
	}
	k := int(kv[1]) // a key of 128 bytes or more begins with another length, and matches none of these
	key := kv[2 : 2+k]
	var text *[]byte
	var number *int
	seq := false
	switch string(key) {
	case AttrTaskID:
		text = &rec.TaskID
	case AttrNamespace:
		text = &rec.Namespace
	case AttrSourceID:
		text = &rec.SourceID
	case AttrRun:
		number = &rec.Run
	case AttrAttempt:
		number = &rec.Attempt
	case AttrAttempts:
		number = &rec.Attempts
	case AttrTaskSeq:
		seq = true
	case AttrEventName:
		return false
	default:
		return k < 0x80
	}
	if len(kv) >= 0x80 || len(kv) < 6+k || kv[2+k] != tagValue || int(kv[3+k]) != len(kv)-4-k {
		return false
	}
	raw := kv[4+k:]
	if text != nil {
		if raw[0] != tagString || int(raw[1]) != len(raw)-2 {
			return false
		}
		*text = raw[2:len(raw):len(raw)]
		return true
	}
	n, size := uvarint(raw[1:])
	if raw[0] != tagInt || size != len(raw)-1 || int64(n) < 0 {
		return false
	}
	if seq {
		rec.Seq = n
	} else {
		*number = int(n)
	}
	return true
}
