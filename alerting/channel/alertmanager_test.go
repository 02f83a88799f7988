package channel

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// startAlertmanager runs Debian's Alertmanager for one test.
func startAlertmanager(t *testing.T) (url string) {
	t.Helper()
	bin, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatal("there is no prometheus-alertmanager: deploy/install-test-deps.sh installs it (Debian: apt-get install prometheus-alertmanager)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	url = "http://" + addr
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		res, err := client.Get(url + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return url
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Alertmanager is not ready: %v", err)
		}
	}
}

// held are the alerts that the Alertmanager holds as active, by task.
func held(t *testing.T, url string) map[string]string {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url + "/api/v2/alerts?active=true")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Labels, Annotations map[string]string }
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	out := map[string]string{}
	for _, a := range list {
		out[a.Labels["task_id"]] = a.Annotations["summary"] + " " + a.Labels["severity"]
	}
	return out
}

func TestARealAlertmanagerTakesOurAlerts(t *testing.T) {
	url := startAlertmanager(t)
	ch, err := New(Config{Name: "am", Type: Alertmanager, URL: url, AllowPrivate: true}, Links{Base: "https://trail.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	now := time.Now().UTC()
	notify := func(state timeline.AlertState, tasks ...string) {
		t.Helper()
		var n Notification
		for i, task := range tasks {
			a := alert(task, state)
			a.StartsAt, a.UpdatedAt = now.Add(-time.Minute), now
			if state == timeline.AlertResolved {
				a.EndsAt = time.Now().UTC()
			}
			if i == 0 {
				n.Alert = a
			} else {
				n.More = append(n.More, a)
			}
		}
		if err := ch.Notify(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	until := func(want map[string]string) {
		t.Helper()
		var got map[string]string
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
			if got = held(t, url); fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
		}
		t.Fatalf("it holds %v, want %v", got, want)
	}
	notify(timeline.AlertFiring, "t1", "t2")
	notify(timeline.AlertFiring, "t1") // a repeat is the same alert
	until(map[string]string{"t1": "payment t1 failed <now> critical", "t2": "payment t2 failed <now> critical"})
	notify(timeline.AlertResolved, "t1")
	until(map[string]string{"t2": "payment t2 failed <now> critical"})
	// What it can't take is refused for good, and said.
	bad := alert("t3", timeline.AlertFiring)
	bad.StartsAt = now.Add(1000 * time.Hour) // it begins after its end
	if err := ch.Notify(t.Context(), Notification{Alert: bad}); err == nil || !AsDelivery(err).Permanent {
		t.Errorf("%v", err)
	}
}
