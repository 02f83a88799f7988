package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tasktrail/tasktrail/app"
)

// Whatever stands in the settings file or in the environment: it is taken or named,
// and what was taken can be checked.
func FuzzSettings(f *testing.F) {
	f.Add([]byte("data_dir: ./data\nretention: 720h\n"), "TASKTRAIL_HTTP_ADDR=127.0.0.1:0")
	f.Add([]byte("a: &a [*a]\n"), "TASKTRAIL_X=1")
	f.Add([]byte("http_addr: [1, 2]\n---\n{}"), "")
	path := filepath.Join(f.TempDir(), "settings.yaml")
	f.Fuzz(func(t *testing.T, file []byte, variable string) {
		if len(file) > 64<<10 {
			return
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := app.Load(path, []string{variable})
		if err != nil && err.Error() == "" {
			t.Fatal("an error without a word")
		}
		_ = s.Validate()
	})
}
