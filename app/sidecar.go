package app

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/sidecar"
	"github.com/tasktrail/tasktrail/internal/netguard"
)

// SidecarConfig turns the settings into those of a sidecar. Its error names every
// setting that cannot work.
func SidecarConfig(set Settings, log *slog.Logger) (sidecar.Config, error) {
	errs := []error{set.Validate()}
	cfg := sidecar.Config{
		Addr: set.AgentAddr, Token: set.Token, PublicURL: set.AgentURL, DataDir: filepath.Join(set.DataDir, "agent"),
		Agent: agent.Config{
			Name: set.AgentName, Namespace: set.AgentNamespace, CollectorURL: set.CollectorURL,
			Retry: retry.Policy{Base: set.AgentRetryBase, MaxAttempts: int(set.AgentMaxAttempts)},
		},
		CallbackTimeout: set.CallbackTimeout, ExecTimeout: set.ExecTimeout, Workers: int(set.AgentWorkers),
		MaxTasks: int(set.AgentMaxTasks), QueueMaxBytes: set.AgentQueueBytes, Logger: log,
	}
	allow, err := netguard.Parse(set.CallbackAllow)
	if err != nil {
		errs = append(errs, fmt.Errorf("callback_allow: %w", err))
	}
	cfg.CallbackAllow = allow
	for text := range strings.Lines(set.ExecQueue) {
		if strings.TrimSpace(text) == "" {
			continue
		}
		r, err := sidecar.ParseExecRule(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		cfg.Exec = append(cfg.Exec, r)
	}
	errs = append(errs, cfg.Validate())
	return cfg, errors.Join(errs...)
}
