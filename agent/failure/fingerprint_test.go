package failure

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"connection refused":           "connection refused",
		"  a \t b\n\nc ":               "a b c",
		"order 12345 not found":        "order <n> not found",
		"retry 3 of 5, status 503":     "retry 3 of 5, status 503",
		"amount 1234.56 exceeds 99.50": "amount <n> exceeds <n>",
		"user-48213 is blocked":        "user-<n> is blocked",
		"id 3f2504e0-4f89-41d3-9a0c-0305e82c3301.":               "id <id>.",
		"task{3F2504E0-4F89-41D3-9A0C-0305E82C3301}":             "task{<id>}",
		"nil pointer at 0xc000123abc":                            "nil pointer at <hex>",
		"commit 9fceb02d0ae598e95dc970b74767f19372d61af8 failed": "commit <hex> failed",
		"charge ch_3MqLiJLkdIwHu7ixraBm failed":                  "charge ch_<id> failed",
		`Post "https://psp.example.com/v1/charges?key=1": EOF`:   `Post "<str>": EOF`,
		"GET https://a.b/c?d=e&f=(g): timeout":                   "GET <url>: timeout",
		"see http://x.y/z.":                                      "see <url>.",
		"open /var/lib/app/data.json: no such file":              "open <path>: no such file",
		`open C:\Users\bob\x.txt: denied`:                        "open <path>: denied",
		"either/or stays":                                        "either/or stays",
		"mail to alice@example.com bounced":                      "mail to <email> bounced",
		"dial tcp 10.1.2.3:54321: refused":                       "dial tcp <addr>: refused",
		"dial tcp [2001:db8::1]:443: refused":                    "dial tcp [<addr>]:443: refused",
		"lookup db.internal:5432":                                "lookup <addr>",
		"at 2026-03-01T12:00:00.123Z it broke":                   "at <time> it broke",
		"at 2026-03-01 12:00:00 +0200 it broke":                  "at <time> it broke",
		"until Sun, 01 Mar 2026 12:00:10 GMT":                    "until <time>",
		"until Mon Jan  2 15:04:05 2006":                         "until <time>",
		"at 15:04:05":                                            "at <time>",
		"took 1.532s, limit 250ms":                               "took <duration>, limit <duration>",
		`field "amount" is bad`:                                  `field "amount" is bad`,
		`value "a rather long piece of user text" is bad`:        `value "<str>" is bad`,
		`value 'a rather long piece of user text' is bad`:        `value '<str>' is bad`,
		"can't open, won't close, it isn't there at all":         "can't open, won't close, it isn't there at all",
		`unclosed "quote of user 123456`:                         `unclosed "quote of user <n>`,
		"sha256 http2 utf8 x509 base64":                          "sha256 http2 utf8 x509 base64",
		"заказ 12345 не найден":                                  "заказ <n> не найден",
		"SQLSTATE 40001":                                         "SQLSTATE <n>",
	} {
		if got := Normalize(in); got != want {
			t.Errorf("%q\n got  %q\n want %q", in, got, want)
		}
	}
}

func TestFingerprintGroups(t *testing.T) {
	same := [][2]string{
		{"order 12345 not found", "order 1000000 not found"},
		{"user 7f3a9c2e41d0 has no card", "user 00aa11bb22cc has no card"},
		{"dial tcp 10.0.0.1:41000: refused", "dial tcp 10.0.0.27:8080: refused"},
		{`Post "https://psp/v1/charges/1001": EOF`, `Post "https://psp/v1/charges/1002?x=y": EOF`},
		{"lock held since 2026-03-01T12:00:00Z", "lock held since 2025-12-31T23:59:59.999Z"},
		{"timeout after 1.2s", "timeout after 30s"},
		{"mail to a@b.example bounced", "mail to carol.k@mail.example.org bounced"},
		{"invalid name 'Anna Maria von Hohenzollern'", "invalid name 'Bartholomew Montgomery'"},
	}
	for _, pair := range same {
		a, b := Fingerprint("k", pair[0], ""), Fingerprint("k", pair[1], "")
		if a != b {
			t.Errorf("%q and %q differ:\n%q\n%q", pair[0], pair[1], Normalize(pair[0]), Normalize(pair[1]))
		}
	}
	different := []string{
		"order not found", "order 12345 not found", "card declined", "card expired", "http status 502", "http status 503",
		"insufficient funds", `field "amount" is bad`, `field "currency" is bad`, "dial tcp 10.0.0.1:80: refused", "dial tcp 10.0.0.1:80: reset",
		"open /a/b: permission denied", "open /a/b: no such file", "",
	}
	seen := map[string]string{}
	for _, message := range different {
		f := Fingerprint("k", message, "")
		if other, ok := seen[f]; ok {
			t.Errorf("%q and %q are one", message, other)
		}
		seen[f] = message
	}
	if Fingerprint("a", "x", "") == Fingerprint("b", "x", "") {
		t.Error("the kind does not matter")
	}
}

// TestFingerprintIsStable holds the value itself: dead letters of years are
// grouped by it.
func TestFingerprintIsStable(t *testing.T) {
	if got, want := Fingerprint("http_503", "HTTP 503: order 12345 failed", ""), "fp1:c110553b3eceb419"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func TestFingerprintOfStacks(t *testing.T) {
	stack := func(address, file, function string) string {
		return "goroutine 17 [running]:\n" +
			"runtime/debug.Stack()\n\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e\n" +
			"panic({0x" + address + "?, 0x1})\n\t/usr/local/go/src/runtime/panic.go:787 +0x132\n" +
			"example.com/shop/orders." + function + "({0x" + address + ", 0x2})\n\t/home/x/shop/" + file + " +0x1f\n" +
			"github.com/lib/dep.Run(...)\n\t/home/dev/go/pkg/mod/github.com/lib/dep@v1.2.3/run.go:10 +0x1\n" +
			"main.main()\n\t/home/x/shop/main.go:5 +0x1\n" +
			"created by main.init.0 in goroutine 1\n\t/home/x/shop/main.go:3 +0x1\n"
	}
	a := Fingerprint(KindPanic, "panic", stack("c0001", "charge.go:10", "(*Service).Charge"))
	if b := Fingerprint(KindPanic, "panic", stack("d0002", "charge.go:99", "(*Service).Charge")); a != b {
		t.Error("addresses and lines split a group")
	}
	if b := Fingerprint(KindPanic, "panic", stack("c0001", "charge.go:10", "(*Service).Refund")); a == b {
		t.Error("two places are one group")
	}
	got := applicationFrames(stack("c0001", "charge.go:10", "(*Service).Charge"))
	if want := "example.com/shop/orders.(*Service).Charge main.main"; strings.Join(got, " ") != want {
		t.Errorf("frames %q, want %q", got, want)
	}
	var deep strings.Builder
	for range 20 {
		deep.WriteString("app.f(0x1)\n\t/x/f.go:1\n")
	}
	if got := applicationFrames(deep.String()); len(got) != 5 {
		t.Errorf("%d frames take part", len(got))
	}
}

type traced struct{ pcs []uintptr }

func (traced) Error() string        { return "traced" }
func (t traced) Callers() []uintptr { return t.pcs }

type frame uintptr
type pkgErrors struct{ pcs []frame }

func (pkgErrors) Error() string         { return "traced" }
func (t pkgErrors) StackTrace() []frame { return t.pcs }

func FuzzFingerprint(f *testing.F) {
	f.Add("http_503", "order 12345 \"not found\" at https://a.b/c", "app.f(0x1)\n\t/x/f.go:1\n")
	f.Add("", "\x00\xff'\"`", "\n\t\n(\n\t")
	f.Add("panic", "2026-03-01T12:00:00Z a@b.c 10.0.0.1:80 0xdead", "goroutine 1 [running]:\n")
	f.Fuzz(func(t *testing.T, kind, message, stack string) {
		fp := Fingerprint(kind, message, stack)
		if len(fp) != 4+16 || !strings.HasPrefix(fp, "fp1:") {
			t.Fatalf("fingerprint %q", fp)
		}
		n := Normalize(message)
		if !utf8.ValidString(n) || strings.ContainsAny(n, "\x00\n\t") {
			t.Fatalf("%q becomes %q", message, n)
		}
		if Fingerprint(kind, message, stack) != fp {
			t.Fatal("not the same twice")
		}
		// Whatever the message, a long number in it makes no difference.
		if len(message) < 1000 && utf8.ValidString(message) && !strings.ContainsAny(message, "\"'`") {
			a, b := Normalize("order 10000 "+message), Normalize("order 987654321 "+message)
			if a != b {
				t.Fatalf("%q and %q", a, b)
			}
		}
	})
}
