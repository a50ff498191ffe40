package schemas

import "testing"

// State files and checkpoint topics hold digests: these numbers must never change.
func TestDigestsStayWhatTheyWere(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ got, want uint64 }{
		"of nothing":        {mixDigest(0, 0), 0},
		"of two":            {mixDigest(1, 2), 0x893f9acd398a9d4d},
		"of two turned":     {mixDigest(2, 1), 0xc4ab1369f20e2cd3},
		"of great ones":     {mixDigest(1<<63, 0xDEADBEEF), 0x7bb6fe244a5e00ae},
		"of a stamp":        {StampDigest(1795435200), 0xdd520a72b72e0b40},
		"of a stamp before": {StampDigest(-1), 0x61c8864e7a143579},
		"of no epoch":       {EpochDigest(0), 0},
		"of an epoch":       {EpochDigest(3), 0x48180ab7777ec1ed},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %#x, want %#x", name, tt.got, tt.want)
		}
	}
}
