package connector

import (
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestALevelThatIsSetForTheGroupIsCarriedOutOnceByThoseThatRun(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 75}, func(h *harness) {
		h.unfiled = true
		var set []string
		h.levels = func(logger, level string) { set = append(set, logger+"="+level) }
		r := h.started()
		for _, level := range []string{"DEBUG", "DEBUG", "WARN"} {
			if err := r.SetLoggerLevel(h.t.Context(), "connector", level); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"connector=DEBUG", "connector=DEBUG", "connector=WARN"}; !slices.Equal(set, want) {
			t.Errorf("%q", set)
		}
		h.stop()
		set = nil
		h.started()
		h.pass(time.Minute)
		if len(set) > 0 {
			t.Errorf("a worker that starts carries out %q", set)
		}
	})
}
