package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/rule"
)

var errNoPast = errors.New("there is no database to ask")

// noPast answers nothing.
type noPast struct{}

func (noPast) DeadLetters(context.Context, []match.Field) ([]rule.Gauge, error) {
	return nil, errNoPast
}
func (noPast) Pending(context.Context, []match.Field) ([]rule.Gauge, error) { return nil, errNoPast }
func (noPast) LastSeen(context.Context, string, string, time.Time) (time.Time, error) {
	return time.Time{}, errNoPast
}
func (noPast) IngestLag(context.Context) (time.Duration, error) { return 0, errNoPast }
