package redact

import (
	"bytes"
	"cmp"
	"slices"
)

// DefaultDenyKeys returns the names that are denied by default, in a slice of
// the caller's own.
func DefaultDenyKeys() []string {
	return []string{
		"password", "passwd", "passphrase", "passcode", "pwd", "pass", "secret", "client_secret", "token", "access_token",
		"refresh_token", "id_token", "bearer", "jwt", "authorization", "auth_header", "api_key", "access_key", "private_key",
		"secret_key", "signing_key", "encryption_key", "credential", "credentials", "cookie", "set_cookie", "session_id",
		"csrf", "xsrf", "otp", "pin", "mfa_code", "card", "card_number", "pan", "cvv", "cvv2", "cvc", "cvc2", "csc",
		"security_code", "track_data", "iban", "account_number", "routing_number", "sort_code", "ssn",
		"social_security_number", "tax_id", "national_id", "passport_number", "date_of_birth", "dob", "mnemonic", "seed_phrase",
	}
}

// unmistakable is the length from which a denied name counts anywhere in a
// longer one, even where no word begins: userpassword.
const unmistakable = 8

// keySet finds denied names in the names of members.
type keySet struct {
	names   map[string]struct{} // lower case, letters and digits only
	long    [][]byte
	longest int
	// lengths has, by a name's first byte, a bit for each length there is: most
	// names of members are told apart by it without a look at the map.
	lengths [256]uint64
}

func newKeySet(names []string) *keySet {
	k := &keySet{names: make(map[string]struct{}, len(names))}
	for _, name := range names {
		name = string(squeeze(nil, []byte(name)))
		if name == "" {
			continue
		}
		k.names[name] = struct{}{}
		k.longest = max(k.longest, len(name))
		k.lengths[name[0]] |= lengthBit(len(name))
		if len(name) >= unmistakable {
			k.long = append(k.long, []byte(name))
		}
	}
	slices.SortFunc(k.long, func(a, b []byte) int { return cmp.Compare(len(a), len(b)) })
	return k
}

// lengthBit is the bit of a length; lengths from 63 on share one.
func lengthBit(n int) uint64 { return 1 << min(n, 63) }

func (k *keySet) has(name []byte) bool {
	if len(name) == 0 || k.lengths[name[0]]&lengthBit(len(name)) == 0 {
		return false
	}
	_, ok := k.names[string(name)]
	return ok
}

// squeeze appends what is left of a name without case and separators. Bytes of
// other scripts are kept as they are.
func squeeze(dst, name []byte) []byte {
	for _, c := range name {
		switch {
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c|0x20)
		case isWordByte(c):
			dst = append(dst, c)
		}
	}
	return dst
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// maxKey bounds how much of a member's name is looked at, from either end.
const maxKey = 256

// denied reports whether a member's name, its escapes resolved, is a denied name
// or holds one as words of its own.
func (k *keySet) denied(name []byte) bool {
	if len(k.names) == 0 {
		return false
	}
	if len(name) > maxKey {
		return k.denied(name[:maxKey]) || k.denied(name[len(name)-maxKey:])
	}
	var buf [maxKey]byte
	flat := squeeze(buf[:0], name)
	// starts are the places in flat where words begin, the end among them.
	var starts [maxKey + 1]int16
	n := wordStarts(&starts, name)
	for i := range n {
		for j := i + 1; j < n; j++ {
			from, to := int(starts[i]), int(starts[j])
			if to-from > k.longest {
				break
			}
			if k.has(flat[from:to]) {
				return true
			}
		}
	}
	for _, long := range k.long {
		if len(long) >= len(flat) {
			break // they are in order of length, and the whole name was looked for above
		}
		if bytes.Contains(flat, long) {
			return true
		}
	}
	return false
}

// wordStarts finds the words of a name: at separators, where a capital follows a
// small letter or digit, and before the last of several capitals (APIKey). Places
// count letters and digits alone, as squeeze leaves them.
func wordStarts(starts *[maxKey + 1]int16, name []byte) int {
	n, at := 0, int16(0)
	fresh := true
	for i, c := range name {
		if !isWordByte(c) {
			fresh = true
			continue
		}
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 {
			before := name[i-1]
			afterSmall := before >= 'a' && before <= 'z' || before >= '0' && before <= '9'
			beforeSmall := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			fresh = fresh || afterSmall || beforeSmall
		}
		if fresh {
			starts[n] = at
			n++
			fresh = false
		}
		at++
	}
	starts[n] = at
	return n + 1
}
