package chaos

import (
	"os"
	"testing"

	"github.com/tasktrail/tasktrail/app/uptest"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(workerEnv); settings != "" {
		workerMain(settings)
		return
	}
	uptest.Main(m)
}
