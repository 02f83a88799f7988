package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/internal/proctest"
	engine "github.com/tasktrail/tasktrail/store/embedded"
)

// second is a collector of its own over the ClickHouse and the Redis of up, with a
// log of its own. Agents are moved to it and back: what one of the two took and
// could not acknowledge is taken by the other too, and both write it.
type second struct {
	process *proctest.Process
	args    []string
	env     []string
	http    string
	dir     string
}

func (s *system) newSecond() *second {
	s.t.Helper()
	creds, err := engine.LoadCredentials(filepath.Join(s.up.DataDir, "clickhouse"))
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(s.up.DataDir, "command-key"))
	if err != nil {
		s.t.Fatal(err)
	}
	addrs := proctest.FreeAddrs(s.t, 2)
	c := &second{http: addrs[1], dir: proctest.SmallDisk(s.t, 128)}
	c.args = append([]string{"collector", "--data-dir", c.dir, "--log-max-bytes", "67108864", "--otlp-grpc-addr", addrs[0], "--otlp-http-addr", addrs[1]}, s.alertArgs()...)
	c.env = []string{
		fmt.Sprintf("TASKTRAIL_CLICKHOUSE_DSN=http://%s:%s@%s/%s", creds.User, creds.Password, s.up.ClickHouse(), app.Database),
		"TASKTRAIL_REDIS_URL=redis://" + s.redisAddr, "TASKTRAIL_ADMIN_TOKEN=" + s.up.Token, "TASKTRAIL_COMMAND_KEY=" + strings.TrimSpace(string(key)),
	}
	return c
}

func (s *system) startSecond() {
	s.t.Helper()
	s.second.process = proctest.Start(s.t, append(s.clocks.second.Env(), s.second.env...), s.clocks.tasktrail(s.t), s.second.args...)
}

// balance has every collector's books and those of ClickHouse checked.
func (s *system) balance() (string, error) {
	return s.up.Run("verify", "--collector", s.up.Collector(), "--collector", "http://"+s.second.http)
}

// again starts the second collector where it ended by itself, as a supervisor does: on
// a full disk it cannot start, and says so.
func (s *system) again() {
	select {
	case <-s.second.process.Done():
		if out := s.second.process.Output(); strings.Contains(out, "panic:") || strings.Contains(out, "fatal error:") {
			s.t.Errorf("the second collector crashed:\n%s", out)
		}
		s.startSecond()
	default:
	}
}
