package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADataDirectoryThatIsNotOursIsLeftAlone(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := t.TempDir()
	if err := os.WriteFile(filepath.Join(later, MarkerFile), []byte(`{"format":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, MarkerFile), []byte(`{"for`), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(foreign, "letter.txt")
	for name, c := range map[string]struct{ dir, want string }{
		"somebody else's": {foreign, "letter.txt"},
		"a later version": {later, "format 99"},
		"a broken marker": {broken, "restore it"},
		"a file":          {file, "not a directory"},
		"below a file":    {filepath.Join(file, "data"), "not a directory"},
	} {
		lock, err := takeDataDir(c.dir)
		if err == nil {
			lock.Unlock()
			t.Errorf("%s was taken", name)
			continue
		}
		if !strings.HasPrefix(err.Error(), "data_dir: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, _ := os.ReadDir(foreign); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestADataDirectoryHasOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := takeDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeDataDir(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second owner: %v", err)
	}
	first.Unlock()
	second, err := takeDataDir(dir)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	second.Unlock()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode: %v, %v", info, err)
	}
}

// A port in use is told by the setting's name, before anything was made.
func TestPreflightNamesEveryPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := DefaultSettings()
	s.DataDir = filepath.Join(t.TempDir(), "data")
	s.HTTPAddr, s.OTLPGRPCAddr, s.OTLPHTTPAddr, s.RedisAddr = ln.Addr().String(), "127.0.0.1:0", ln.Addr().String(), "127.0.0.1:0"
	err = preflight(t.Context(), &s, RoleUp)
	if err == nil {
		t.Fatal("nothing was found")
	}
	for _, want := range []string{"http_addr: " + s.HTTPAddr + ": address already in use", "otlp_http_addr: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q: %v", want, err)
		}
	}
	if _, err := os.Stat(s.DataDir); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	if s.RedisURL = "redis://elsewhere"; len(s.listens(RoleCollector)) != 2 || len(s.listens(RoleQuery)) != 1 || len(s.listens(RoleUp)) != 3 {
		t.Error("the roles listen elsewhere")
	}
}
