package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// A service that is told to stop while it starts has done what it was told.
func TestAStopBeforeTheStartIsNoFailure(t *testing.T) {
	s := app.DefaultSettings()
	addrs := proctest.FreeAddrs(t, 5)
	s.DataDir, s.HTTPAddr, s.OTLPGRPCAddr, s.OTLPHTTPAddr, s.ClickHouseAddr, s.RedisAddr = t.TempDir(), addrs[0], addrs[1], addrs[2], addrs[3], addrs[4]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, s, app.RoleUp, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
