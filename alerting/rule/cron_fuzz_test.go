package rule

import (
	"testing"
	"time"
)

// A schedule that was taken has due times in order, and the search for them ends.
func FuzzParseCron(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "@daily", "0 0 29 2 *", "0 0 31 4 *", "60 * * * *", "1-5/2,7 0 1 1 1", "CRON_TZ=UTC * * * * *", "@every 1s"} {
		f.Add(s, "Europe/Paris")
	}
	f.Add("30 2 * * *", "../etc/passwd")
	f.Fuzz(func(t *testing.T, expr, zone string) {
		if len(expr) > 1<<10 || len(zone) > 100 {
			return
		}
		s, err := ParseCron(expr, zone)
		if err != nil {
			return
		}
		from := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		if last := s.last(from, from.Add(72*time.Hour)); !last.IsZero() && (!last.After(from) || last.After(from.Add(72*time.Hour))) {
			t.Fatalf("%q in %q is due at %v", expr, zone, last)
		}
	})
}
