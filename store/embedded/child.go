package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// childEnv carries the configuration of a child process. It holds no secret: the
// users stand in the data directory.
const childEnv = "TASKTRAIL_CLICKHOUSE_CHILD"

// The files a child inherits, after the standard three.
const (
	childListener = 3
	childParent   = 4 // the reading end of a pipe whose other end dies with the parent
)

// childConfig is what a parent tells its child.
type childConfig struct {
	LibPath        string   `json:"lib_path"`
	DataDir        string   `json:"data_dir"`
	MaxMemory      int64    `json:"max_memory,omitempty"`
	MaxBodyBytes   int64    `json:"max_body_bytes,omitempty"`
	MaxResultBytes int64    `json:"max_result_bytes,omitempty"`
	MaxConcurrent  int      `json:"max_concurrent,omitempty"`
	EngineArgs     []string `json:"engine_args,omitempty"`
}

// IsChild reports whether this process was started by a [Process] and is to call
// [RunChild].
func IsChild() bool { return os.Getenv(childEnv) != "" }

// RunChild is the whole life of a child process of [Process]: it serves until
// ctx ends or the parent dies, however it dies.
func RunChild(ctx context.Context, logger *slog.Logger) error {
	text := os.Getenv(childEnv)
	if text == "" {
		return errors.New("embedded ClickHouse: this process was not started by tasktrail up")
	}
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("embedded ClickHouse: %s: %w", childEnv, err)
	}
	file := os.NewFile(childListener, "listener")
	ln, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("embedded ClickHouse: inherited listener: %w", err)
	}
	_ = file.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Without this a read could not be ended by Close.
	if err := syscall.SetNonblock(childParent, true); err != nil {
		return fmt.Errorf("embedded ClickHouse: inherited pipe: %w", err)
	}
	parent := os.NewFile(childParent, "parent")
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		_, _ = io.Copy(io.Discard, parent) // ends with the parent
		cancel()
	}()
	err = Serve(ctx, Config{
		LibPath: c.LibPath, DataDir: c.DataDir, Listener: ln, MaxMemory: c.MaxMemory, MaxBodyBytes: c.MaxBodyBytes,
		MaxResultBytes: c.MaxResultBytes, MaxConcurrent: c.MaxConcurrent, EngineArgs: c.EngineArgs, Logger: logger,
	})
	_ = parent.Close()
	<-orphaned
	return err
}
