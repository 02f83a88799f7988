package alerting

import (
	"context"

	"github.com/tasktrail/tasktrail/alerting/channel"
)

func (f notifierFunc) Notify(_ context.Context, n channel.Notification) error { return f(n) }
