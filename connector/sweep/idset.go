package sweep

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// idSet is a set of ids that takes an eighth of a byte an id where they are dense,
// and at most about 4 where they are not.
type idSet map[int64]*container

// container holds the ids of a span of 65,536: a list while there are few of them, then a bitmap.
type container struct {
	few  []uint16 // ascending
	bits []uint64 // nil: few has them
}

const (
	spanBits = 16
	fewIDs   = 4096 // of a container: more take less room as a bitmap
)

func (s idSet) add(id int64) {
	c := s[id>>spanBits]
	if c == nil {
		c = new(container)
		s[id>>spanBits] = c
	}
	low := uint16(id)
	if c.bits != nil {
		c.bits[low>>6] |= 1 << (low & 63)
		return
	}
	i, there := slices.BinarySearch(c.few, low)
	if there {
		return
	}
	if c.few = slices.Insert(c.few, i, low); len(c.few) > fewIDs {
		c.bits = make([]uint64, 1<<spanBits>>6)
		for _, l := range c.few {
			c.bits[l>>6] |= 1 << (l & 63)
		}
		c.few = nil
	}
}

func (s idSet) remove(id int64) {
	c, low := s[id>>spanBits], uint16(id)
	switch {
	case c == nil:
	case c.bits != nil:
		c.bits[low>>6] &^= 1 << (low & 63)
	default:
		if i, there := slices.BinarySearch(c.few, low); there {
			c.few = slices.Delete(c.few, i, i+1)
		}
	}
}

// all gives the ids in order.
func (s idSet) all() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, span := range slices.Sorted(maps.Keys(s)) {
			c := s[span]
			for _, low := range c.few {
				if !yield(span<<spanBits | int64(low)) {
					return
				}
			}
			for i, word := range c.bits {
				for ; word != 0; word &= word - 1 {
					if !yield(span<<spanBits | int64(i<<6+bits.TrailingZeros64(word))) {
						return
					}
				}
			}
		}
	}
}
