package match

import "math/bits"

// Index finds the sets that match some labels, in time that hardly depends on
// how many sets there are: for each label it knows which sets take a value. It is
// for one goroutine.
type Index struct {
	n     int
	field [numFields]fieldIndex
	hit   []uint64
}

// fieldIndex is what one label says of all sets.
type fieldIndex struct {
	used bool
	// free are the sets without a pattern for the label.
	free []uint64
	// exact are the sets that a value is named by; odd are those that have to ask
	// their patterns.
	exact map[string][]int
	odd   []int
	sets  []*Set
	f     Field
	// seen remembers what a value came to: values repeat.
	seen map[string][]uint64
}

// maxSeen bounds the values remembered for a label.
const maxSeen = 4_096

// NewIndex indexes the sets; it keeps them.
func NewIndex(sets []*Set) *Index {
	words := (len(sets) + 63) / 64
	x := &Index{n: len(sets), hit: make([]uint64, words)}
	for i := range x.field {
		fi := &x.field[i]
		fi.f, fi.sets = Field(i), sets
		fi.free, fi.exact, fi.seen = make([]uint64, words), map[string][]int{}, map[string][]uint64{}
		for n, s := range sets {
			p := s.of[i]
			if p.empty() {
				fi.free[n/64] |= 1 << (n % 64)
				continue
			}
			fi.used = true
			simple := len(p.none) == 0
			for _, a := range p.any {
				simple = simple && exact(a)
			}
			if !simple {
				fi.odd = append(fi.odd, n)
				continue
			}
			for _, a := range p.any {
				fi.exact[a] = append(fi.exact[a], n)
			}
		}
	}
	return x
}

func (fi *fieldIndex) of(value string, scratch []uint64) []uint64 {
	named := fi.exact[value]
	if len(named) == 0 && len(fi.odd) == 0 {
		return fi.free
	}
	if w, ok := fi.seen[value]; ok {
		return w
	}
	keep := len(fi.seen) < maxSeen
	w := scratch
	if keep {
		w = make([]uint64, len(fi.free))
	}
	copy(w, fi.free)
	for _, n := range named {
		w[n/64] |= 1 << (n % 64)
	}
	for _, n := range fi.odd {
		if fi.sets[n].of[fi.f].match(value) {
			w[n/64] |= 1 << (n % 64)
		}
	}
	if keep {
		fi.seen[value] = w
	}
	return w
}

// Find calls found with the number of each set that matches, until it returns
// false.
func (x *Index) Find(l *Labels, found func(n int) bool) {
	if x.n == 0 {
		return
	}
	for i := range x.hit {
		x.hit[i] = ^uint64(0)
	}
	if rest := x.n % 64; rest != 0 {
		x.hit[len(x.hit)-1] = 1<<rest - 1
	}
	var scratch []uint64
	for i := range x.field {
		fi := &x.field[i]
		if !fi.used {
			continue
		}
		if scratch == nil && len(fi.seen) >= maxSeen {
			scratch = make([]uint64, len(x.hit))
		}
		left := uint64(0)
		for k, w := range fi.of(l[i], scratch) {
			x.hit[k] &= w
			left |= x.hit[k]
		}
		if left == 0 {
			return
		}
	}
	for k, w := range x.hit {
		for w != 0 {
			n := bits.TrailingZeros64(w)
			if !found(k*64 + n) {
				return
			}
			w &^= 1 << n
		}
	}
}
