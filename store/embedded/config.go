package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// Config is how the engine is served.
type Config struct {
	// LibPath is the file of the engine library. Defaults to what [FindLibrary]
	// finds.
	LibPath string
	// DataDir holds the engine's data; one process at a time. It is created where
	// it is missing. There is no default.
	DataDir string
	// Addr is where HTTP is listened to. Defaults to 127.0.0.1:8123.
	Addr string
	// Listener is an open listener that goes before Addr. Defaults to none.
	Listener net.Listener
	// Credentials are the two users. Defaults to those in DataDir, which are
	// generated at the first start.
	Credentials Credentials
	// MaxMemory bounds the engine's memory in bytes; a query that would pass it
	// fails. Defaults to 2 GiB.
	MaxMemory int64
	// MaxBodyBytes bounds a request's body, before and after decompression.
	// Defaults to 256 MiB.
	MaxBodyBytes int64
	// MaxResultBytes bounds a result, which is held in memory. Defaults to 256 MiB.
	MaxResultBytes int64
	// MaxConcurrent is how many statements run at once; up to eight times as many
	// wait, the rest is refused. Defaults to 32.
	MaxConcurrent int
	// EngineArgs are further arguments of the engine, such as
	// --background_pool_size=4. Defaults to none.
	EngineArgs []string
	// Logger takes what the facade has to say. Defaults to slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		return c, errors.New("embedded ClickHouse: DataDir is not set")
	}
	var err error
	if c.LibPath == "" {
		if c.LibPath, err = FindLibrary(); err != nil {
			return c, err
		}
	}
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = 2 << 30
	}
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 256 << 20
	}
	if c.MaxResultBytes == 0 {
		c.MaxResultBytes = 256 << 20
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = 32
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, c.validate()
}

// DefaultAddr is where ClickHouse's HTTP interface is expected on one machine.
const DefaultAddr = "127.0.0.1:8123"

func (c *Config) validate() error {
	var faults []error
	for _, f := range []struct {
		name string
		v    int64
		min  int64
	}{
		{"MaxMemory", c.MaxMemory, 256 << 20}, {"MaxBodyBytes", c.MaxBodyBytes, 1 << 10},
		{"MaxResultBytes", c.MaxResultBytes, 1 << 10}, {"MaxConcurrent", int64(c.MaxConcurrent), 1},
	} {
		if f.v < f.min {
			faults = append(faults, fmt.Errorf("%s is %d, want at least %d", f.name, f.v, f.min))
		}
	}
	if c.Listener == nil {
		if _, _, err := net.SplitHostPort(c.Addr); err != nil {
			faults = append(faults, fmt.Errorf("Addr %q: want host:port", c.Addr))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("embedded ClickHouse: %w", errors.Join(faults...))
	}
	return nil
}
