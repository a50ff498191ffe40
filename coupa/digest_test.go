package coupa

import "testing"

// Ledgers hold digests: these numbers must never change.
func TestMixedDigestsStayWhatTheyWere(t *testing.T) {
	for _, tt := range []struct{ a, b, want uint64 }{{0, 0, 0x1ff5c2923a788d2c}, {1, 2, 0xf7858b38a8499be9}, {2, 1, 0xb077298a7052d745}, {1 << 63, 0xDEADBEEF, 0x63a5c0a8ddc1c092}} {
		if got := mixDigest(tt.a, tt.b); got != tt.want {
			t.Errorf("of %#x and %#x: %#x, want %#x", tt.a, tt.b, got, tt.want)
		}
	}
}
