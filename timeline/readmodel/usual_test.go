package readmodel_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestTheDistributionOfDurations(t *testing.T) {
	if got := readmodel.ExecutionTimeOf(nil); got != (readmodel.ExecutionTime{}) {
		t.Errorf("of nothing: %+v", got)
	}
	var of []time.Duration
	for i := range 100 { // 100 ms down to 1 ms
		of = append(of, time.Duration(100-i)*time.Millisecond)
	}
	ms := func(n float64) timeline.Millis { return timeline.Millis(n * float64(time.Millisecond)) }
	want := readmodel.ExecutionTime{Count: 100, Average: ms(50.5), P50: ms(50), P95: ms(95), P99: ms(99)}
	if got := readmodel.ExecutionTimeOf(of); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
