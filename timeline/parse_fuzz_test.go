package timeline

import (
	"testing"
)

// Amounts decide how loud an alert is: whatever a sender writes, one is an exact
// decimal of bounded size or none.
func FuzzAmount(f *testing.F) {
	for _, s := range []string{"120.00", "-1", "+.5", "1e999999999", "0x10", "1/3", "١٢", "", ".", "99999999999999999999999999999999"} {
		f.Add(s, "USD")
	}
	f.Fuzz(func(t *testing.T, amount, currency string) {
		r, ok := parseDecimal(amount)
		if ok != IsDecimal(amount) || ok && (r == nil || len(amount) > MaxAmountBytes) {
			t.Fatalf("%q: %v, %v", amount, r, ok)
		}
		if s := DefaultThresholds().Classify("payment", amount, currency); s != AlertCritical && s != AlertHigh {
			t.Fatalf("a payment of %q %q is %s", amount, currency, s)
		}
	})
}

// An id that was read is written as it was read.
func FuzzParseID(f *testing.F) {
	f.Add("01a20db2-969f-7000-a803-28b7b7e5baea")
	f.Add("01A20DB2-969F-7000-A803-28B7B7E5BAEA")
	f.Add("01a20db2969f7000a80328b7b7e5baea")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%q is %s, which is %s (%v)", s, id, again, err)
		}
	})
}
