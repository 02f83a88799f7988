package live

import (
	"context"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Lease makes one of several processes do what each of them could: it reports
// whether holder has the named lease until ttl from now. The first who asks gets
// it, and who has it renews it by asking again. ErrUnavailable where Redis does
// not answer: then nobody knows.
func (l *Live) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	const source = `
local owner = redis.call('GET', KEYS[1])
if owner == false then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end
if owner == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end
return 0`
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	mine, err := l.client.Eval(ctx, source, []string{"tasktrail:lease:" + timeline.KeyPart(name)}, holder, ttl.Milliseconds()).Int()
	if err := l.seen(err); err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return mine == 1, nil
}
