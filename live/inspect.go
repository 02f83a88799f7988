package live

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Inspection is what a Redis server says of itself, for whoever sets it up. What
// it does not tell is empty.
type Inspection struct {
	Version string
	// Skew is how far the server's clock is ahead of ours.
	Skew time.Duration
	// MaxMemory is the bound in bytes, 0 for none; Policy is what is evicted then.
	MaxMemory uint64
	Policy    string
}

// Inspect asks the server. Its error says in a sentence why it could not be asked.
func (l *Live) Inspect(ctx context.Context) (Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	began := time.Now()
	if err := l.client.Ping(ctx).Err(); err != nil {
		if text := err.Error(); strings.Contains(text, "NOAUTH") || strings.Contains(text, "WRONGPASS") || strings.Contains(text, "AUTH called without") {
			return Inspection{}, fmt.Errorf("the server refuses the user or the password of redis_url: %w", err)
		}
		return Inspection{}, fmt.Errorf("the server of redis_url does not answer: %w", err)
	}
	var in Inspection
	if at, err := l.client.Time(ctx).Result(); err == nil {
		in.Skew = at.Sub(began.Add(time.Since(began) / 2)).Round(time.Millisecond)
	}
	// A broker that keeps its figures to itself is no fault.
	info, err := l.client.Info(ctx).Result()
	if err != nil {
		return in, nil
	}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "redis_version":
			in.Version = value
		case "maxmemory":
			in.MaxMemory, _ = strconv.ParseUint(value, 10, 64)
		case "maxmemory_policy":
			in.Policy = value
		}
	}
	return in, nil
}

// olderThan62 reports whether a version is before 6.2; one that can't be read is
// not.
func olderThan62(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major < 6 || major == 6 && minor < 2
}

// Doubt says in a sentence what may go wrong with the server as it is set up;
// empty where nothing does.
func (in Inspection) Doubt() string {
	switch {
	case in.Version != "" && olderThan62(in.Version):
		return fmt.Sprintf("Redis is %s: streams are claimed with XAUTOCLAIM, which came with 6.2: upgrade it", in.Version)
	case in.MaxMemory > 0 && in.Policy != "" && in.Policy != "noeviction" && !strings.HasPrefix(in.Policy, "volatile-"):
		return fmt.Sprintf("maxmemory-policy is %s, which may evict commands that wait: set noeviction or a volatile- policy (what is evicted is sent again, 30 s later)", in.Policy)
	}
	return ""
}
