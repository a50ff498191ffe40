package schemas

import "encoding/binary"

// keyMatch is what a key of the row leads to.
type keyMatch struct {
	field int
	twin  bool // the key is the underscored twin of the field's own key
}

// keyTable is what the keys of a record's objects lead to: a map that knows that most keys are a few words
// long and in it. An encoder asks it some two hundred times a row.
type keyTable struct {
	entries []keyEntry
	// by hash: 1 + the place of an entry, 0 where there is none. A quarter at most is in
	// use, so that what is looked for nearly always stands where its hash says, else behind.
	places []uint32 // as many as a power of two
}

type keyEntry struct {
	key string
	keyMatch
}

// add enters a key that is not there yet.
func (t *keyTable) add(key string, m keyMatch) {
	t.entries = append(t.entries, keyEntry{key, m})
	if n := len(t.places); 4*len(t.entries) > n {
		t.places = make([]uint32, max(8, 2*n))
		for i := range t.entries {
			t.place(i)
		}
		return
	}
	t.place(len(t.entries) - 1)
}

func (t *keyTable) place(entry int) {
	last := len(t.places) - 1
	at := hashOfKey([]byte(t.entries[entry].key)) & last
	for t.places[at] != 0 {
		at = (at + 1) & last
	}
	t.places[at] = uint32(entry + 1)
}

func (t *keyTable) find(key []byte) (keyMatch, bool) {
	if len(t.entries) == 0 {
		return keyMatch{}, false
	}
	last := len(t.places) - 1
	for at := hashOfKey(key) & last; ; at = (at + 1) & last {
		n := t.places[at]
		if n == 0 {
			return keyMatch{}, false
		}
		if e := &t.entries[n-1]; string(key) == e.key {
			return e.keyMatch, true
		}
	}
}

// hashOfKey takes in the length, and the first and the last eight bytes.
func hashOfKey(key []byte) int {
	var first, last uint64
	switch n := len(key); {
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(key)), uint64(binary.LittleEndian.Uint32(key[n-4:]))
	case n > 0:
		first, last = uint64(key[0])<<8|uint64(key[n/2]), uint64(key[n-1])
	}
	const odd = 0x9e3779b97f4a7c15
	return int(((first+uint64(len(key)))*odd ^ last) * odd >> 32)
}
