package connector

import (
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/configtopic"
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
		set = nil
		v := r.store.View()
		v.Loggers = map[string]configtopic.Level{"schemas": {Name: "INFO", Version: 1001}, "root": {Name: "WARN", Version: 1002}, "connector": {Name: "DEBUG", Version: 1003}, "rest": {Name: "INFO", Version: 1004}}
		r.setLevels(v)
		if want := []string{"schemas=INFO", "root=WARN", "connector=DEBUG", "rest=INFO"}; !slices.Equal(set, want) {
			t.Errorf("levels that are read at once are set as %q, and were asked for as %q", set, want)
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
