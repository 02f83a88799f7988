package webhook

import (
	"strconv"
	"testing"
	"time"
)

// The example of the specification's own libraries.
func TestSignIsAsTheStandardSays(t *testing.T) {
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1614265330, 0)
	got := Sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	key, old := make([]byte, 24), append(make([]byte, 23), 1)
	now := time.Unix(1_700_000_000, 0)
	stamp := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	both := Sign([][]byte{old, key}, "m1", now, []byte("body"))
	for name, c := range map[string]struct {
		id, timestamp, signature, body string
		ok                             bool
	}{
		"as sent":       {"m1", stamp(now), both, "body", true},
		"another id":    {"m2", stamp(now), both, "body", false},
		"another body":  {"m1", stamp(now), both, "body!", false},
		"another time":  {"m1", stamp(now.Add(time.Second)), both, "body", false},
		"too old":       {"m1", stamp(now.Add(-6 * time.Minute)), Sign([][]byte{key}, "m1", now.Add(-6*time.Minute), []byte("body")), "body", false},
		"from tomorrow": {"m1", stamp(now.Add(24 * time.Hour)), Sign([][]byte{key}, "m1", now.Add(24*time.Hour), []byte("body")), "body", false},
		"no number":     {"m1", "now", both, "body", false},
		"no signature":  {"m1", stamp(now), "", "body", false},
		"no base64":     {"m1", stamp(now), "v1,%%%", "body", false},
		"another kind":  {"m1", stamp(now), "v2" + both[2:], "body", true}, // the second one is a v1
		"others' alone": {"m1", stamp(now), Sign([][]byte{old}, "m1", now, []byte("body")), "body", false},
	} {
		if err := Verify(key, c.id, c.timestamp, c.signature, []byte(c.body), now); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	key := []byte("012345678901234567890123")
	if got, err := ParseSecret(Secret(key)); err != nil || string(got) != string(key) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "whsec_", "whsec_%", Secret(make([]byte, 23)), Secret(make([]byte, 65))} {
		if _, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is taken for a secret", bad)
		}
	}
}
