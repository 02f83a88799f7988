package collector

import (
	"testing"

	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestFrameCountsAreThoseOfTheFrame(t *testing.T) {
	var c frameCounts
	frame := wire.AppendFrame(nil, wire.Envelope{}, request(numbered("t", 1, 2, 3)...))
	if n := c.of(5, frame); n != 3 {
		t.Errorf("not remembered: %d, want 3", n)
	}
	c.set(5, 7)
	if n := c.of(5, frame); n != 7 {
		t.Errorf("remembered: %d, want 7", n)
	}
	if n := c.of(5+countedFrames, frame); n != 3 {
		t.Errorf("another frame in its place: %d, want 3", n)
	}
	c.set(5+countedFrames, 1<<countBits)
	if n := c.of(5+countedFrames, frame); n != 3 {
		t.Errorf("too many to be remembered: %d, want 3", n)
	}
	if n := wire.CountRecords([]byte("no frame")); n != 0 {
		t.Errorf("%d records in no frame", n)
	}
}
