// Command gen writes the dashboards and alert rules that package grafana
// defines, below the directory it is given (dashboards/grafana by default). What
// is there and no longer defined, it removes.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/tasktrail/tasktrail/dashboards/grafana"
)

func main() {
	dir := "dashboards/grafana"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	files, err := grafana.Files()
	if err != nil {
		return fmt.Errorf("make the dashboards: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "dashboards", "*.json"))
	if err != nil {
		return fmt.Errorf("list the dashboards: %w", err)
	}
	for _, path := range old {
		if _, ok := files["dashboards/"+filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove a dashboard: %w", err)
			}
		}
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("write a dashboard: %w", err)
		}
	}
	return nil
}
