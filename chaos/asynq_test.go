package chaos

import (
	"encoding/json"
	"strings"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// asynqSide is a worker on asynq (./asynqworker) and the Redis of its queue, which
// keeps what it acknowledged over a kill. It is not the Redis of the live parts.
type asynqSide struct {
	worker, redis *proctest.Process
	redisAddr     string
	redisDir      string
	args          asynqArgs
}

// asynqArgs are the worker's settings.
type asynqArgs struct {
	Redis, Listen                     string
	Spool, Collector, Token, Receiver string
	MaxAttempts                       int
}

func (s *system) newAsynq() *asynqSide {
	s.t.Helper()
	addrs := proctest.FreeAddrs(s.t, 2)
	return &asynqSide{redisAddr: addrs[0], redisDir: s.t.TempDir(), args: asynqArgs{
		Redis: addrs[0], Listen: addrs[1], Spool: s.t.TempDir(), Collector: s.proxy.url(), Token: s.up.Token, Receiver: s.receiver.url(),
		MaxAttempts: maxAttempts,
	}}
}

func (s *system) startQueue() {
	s.t.Helper()
	_, port, _ := strings.Cut(s.asynq.redisAddr, ":")
	s.asynq.redis = proctest.Start(s.t, nil, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--dir", s.asynq.redisDir)
}

func (s *system) startAsynq() {
	s.t.Helper()
	settings, err := json.Marshal(s.asynq.args)
	if err != nil {
		s.t.Fatal(err)
	}
	s.asynq.worker = proctest.Start(s.t, s.clocks.asynq.Env(), s.clocks.build(s.t, "./chaos/asynqworker"), string(settings))
}
