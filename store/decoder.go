package store

import (
	"fmt"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Decoder reads frames into the columns of an insert and throws them away: what
// every writer into these tables has to do at least. It is for measurements.
type Decoder struct {
	cols *columns
	rec  wire.Record
}

// NewDecoder returns an empty Decoder.
func NewDecoder() *Decoder { return &Decoder{cols: newColumns()} }

// Decode reads one frame and returns how many events are in it.
func (d *Decoder) Decode(frame []byte) (events int, err error) {
	err = wire.ScanFrame(frame, &d.rec, func(rec *wire.Record) error {
		d.cols.add(rec)
		if events++; d.cols.rows() >= blockRows {
			d.cols.reset()
		}
		return nil
	})
	if err != nil {
		return events, fmt.Errorf("decode frame: %w", err)
	}
	return events, nil
}
