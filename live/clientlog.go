package live

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// RouteClientLog sends what the Redis client library logs to logger at debug
// level, instead of to standard error: it says at every failed connection what
// Live says once. It sets a variable of that library and is for the start of a
// process, before Open.
func RouteClientLog(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ logger *slog.Logger }

func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.logger.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
}
