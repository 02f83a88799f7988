package app

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tasktrail/tasktrail/live/livetest"
)

// Every fault is found at once, by the setting's name, and nothing is changed.
func TestDoctorFindsEveryFault(t *testing.T) {
	s := DefaultSettings()
	s.DataDir = filepath.Join(t.TempDir(), "data")
	s.HTTPAddr, s.ClickHouseDSN, s.CollectorURL = "0.0.0.0:0", "http://user:secret@127.0.0.1:1/events", "http://127.0.0.1:1"
	s.RedisURL = "redis://127.0.0.1:1"
	status := map[string]Finding{}
	for _, f := range Doctor(t.Context(), s, RoleQuery) {
		if old, twice := status[f.Check]; !twice || old.Status == FindingOK {
			status[f.Check] = f
		}
		if strings.Contains(f.Text, "secret") {
			t.Errorf("a password is shown: %s", f.Text)
		}
	}
	for check, want := range map[string]struct{ status, text string }{
		"data_dir":   {FindingOK, "can be used"},
		"clickhouse": {FindingFault, "clickhouse_dsn"},
		"redis":      {FindingFault, "redis_url"},
		"collector":  {FindingFault, "collector_url"},
		"http_addr":  {FindingWarning, "without TLS"},
	} {
		if got := status[check]; got.Status != want.status || !strings.Contains(got.Text, want.text) {
			t.Errorf("%s: %+v", check, got)
		}
	}

	r := livetest.Start(t)
	s.RedisURL = r.URL()
	for _, f := range Doctor(t.Context(), s, RoleQuery) {
		if f.Check == "redis" && (f.Status != FindingOK || !strings.HasPrefix(f.Text, "version ")) {
			t.Errorf("a real Redis: %+v", f)
		}
	}
}
