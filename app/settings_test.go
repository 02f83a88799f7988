package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasktrail.yaml")
	if err := os.WriteFile(file, []byte("http_addr: 127.0.0.1:1\ndata_dir: /from/file\nretention: 48h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file, []string{"TASKTRAIL_HTTP_ADDR=127.0.0.1:2", "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTPAddr != "127.0.0.1:2" {
		t.Errorf("http_addr = %q, want the environment's", s.HTTPAddr)
	}
	if s.DataDir != "/from/file" || s.Retention != 48*time.Hour {
		t.Errorf("data_dir, retention = %q, %v, want the file's", s.DataDir, s.Retention)
	}
	if s.OTLPGRPCAddr != DefaultSettings().OTLPGRPCAddr {
		t.Errorf("otlp_grpc_addr = %q, want the default", s.OTLPGRPCAddr)
	}
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "s.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, yaml, env, want string
	}{
		{"unknown key", "http_adr: x\n", "", "http_adr"},
		{"not yaml", "a: [\n", "", "s.yaml"},
		{"wrong type", "log_max_bytes: many\n", "", "many"},
		{"unknown variable", "", "TASKTRAIL_HTP_ADDR=x", "TASKTRAIL_HTP_ADDR"},
		{"bad variable", "", "TASKTRAIL_RETENTION=ages", "TASKTRAIL_RETENTION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := ""
			if c.yaml != "" {
				path = write(c.yaml)
			}
			_, err := Load(path, []string{c.env})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that names %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	s := DefaultSettings()
	s.HTTPAddr, s.AdminToken, s.LogLevel, s.TLSCert = "nowhere", "short", "loud", "cert.pem"
	err := s.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"http_addr", "admin_token", "log_level", "tls_cert"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	s = DefaultSettings()
	if err := s.Validate(); err != nil {
		t.Errorf("the defaults do not pass: %v", err)
	}
}

func TestEverySettingCanBeSetFromText(t *testing.T) {
	var s Settings
	for _, f := range Fields(&s) {
		if f.Key == "" || f.Usage == "" {
			t.Errorf("setting %+v has no name or no explanation", f)
		}
		// A duration has its unit.
		if f.Set("1") != nil {
			if err := f.Set("1h"); err != nil {
				t.Errorf("%s: %v", f.Key, err)
			}
		}
	}
}

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	first, made, err := secretFile(dir, "secret", "p-")
	if err != nil || !made || !strings.HasPrefix(first, "p-") || len(first) < 40 {
		t.Fatalf("first: %q, %v, %v", first, made, err)
	}
	again, made, err := secretFile(dir, "secret", "p-")
	if err != nil || made || again != first {
		t.Errorf("again: %q, %v, %v, want the same and not made", again, made, err)
	}
	info, err := os.Stat(filepath.Join(dir, "secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}
