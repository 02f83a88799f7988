package uptest

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/internal/proctest"
)

// Main runs a package's tests, removes the binaries that were built for them, and
// fails where a goroutine was left behind. For a TestMain.
func Main(m *testing.M) {
	code := m.Run()
	proctest.RemoveBuilds()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines were left behind:", err)
		code = 1
	}
	os.Exit(code)
}
