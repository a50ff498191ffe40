package schemas

import "math/bits"

// Digests of rows and lines are kept with what was published, and compared with what the next walk reads.
// If any of the arithmetic here changed, every row with lines would be published again.
//
// What counts in whatever order it comes, as the fields of a record do, is added up, each part
// mixed with its name; what counts by its place is mixed with what stands before it.
const (
	digestOdd1 = 0x9E3779B185EBCA87
	digestOdd2 = 0xC2B2AE3D27D4EB4F
)

// mixDigest makes one digest of two; their order counts.
func mixDigest(a, b uint64) uint64 {
	h := bits.RotateLeft64(a*digestOdd1, 31) ^ bits.RotateLeft64(b*digestOdd2, 17)
	h ^= h >> 33
	h *= digestOdd2
	return h ^ h>>29
}

// StampDigest is what a row's updated-at adds to the digest of what it holds (see
// Splitter.Digest): a row may have it in none of its fields.
func StampDigest(updatedAt int64) uint64 { return uint64(updatedAt) * digestOdd1 }

// EpochDigest is what an epoch adds to the digests of a stream's rows and
// lines: in a new one none is what it was, and all are published again.
func EpochDigest(epoch uint64) uint64 { return epoch * digestOdd2 }
