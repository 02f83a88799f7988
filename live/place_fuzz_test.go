package live

import "testing"

// Whatever somebody put into Redis where places are remembered.
func FuzzParsePlace(f *testing.F) {
	f.Add("money")
	f.Add("money\x00u")
	f.Add("money\x00ssource")
	f.Add("\x00\x00")
	f.Fuzz(func(t *testing.T, s string) {
		p := parsePlace(s)
		if again := parsePlace(p.String()); again != p {
			t.Fatalf("%q is %+v, which is %+v", s, p, again)
		}
		p.keys("default")
	})
}
