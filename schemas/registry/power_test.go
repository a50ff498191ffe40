package registry

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestPower cuts the power of the disk that the ids are on: one that was taken out does not come back.
func TestPower(t *testing.T) {
	power := os.Getenv("POWER")
	if power == "" {
		t.Skip("make power runs it, on a disk that forgets, which needs Linux, root and /dev/fuse")
	}
	tell := func(text string) {
		if err := os.WriteFile(filepath.Join(power, "power"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(power, "disk", "ids", "schema-ids.json")
	for id := range 200 {
		k := idKey{"subject", fmt.Sprint(id % 7)}
		ids := openIDCache(file, nil, slog.New(slog.DiscardHandler))
		ids.put(k, id+1)
		wrong := rand.IntN(2) == 0
		if wrong {
			ids.drop(k)
		}
		tell(fmt.Sprintf("cut 0 %d", rand.Uint32()))
		tell("on")
		switch found := openIDCache(file, nil, slog.New(slog.DiscardHandler)).find(k); {
		case wrong && found != 0:
			t.Errorf("an id that was taken out is %d again", found)
		case found != 0 && found != id+1:
			t.Errorf("the id is %d, which was %d", found, id+1)
		}
	}
}
