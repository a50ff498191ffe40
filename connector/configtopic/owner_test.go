package configtopic

import (
	"context"
	"errors"
	"reflect"
	"testing"
)

func TestTheOwnerOfTheHighestGenerationStays(t *testing.T) {
	simulate(t, func(h *harness) {
		a, b := h.store(), h.store()
		one := Owner{WorkerID: "one:8083", URL: "http://one:8083", Generation: 7}
		two := Owner{WorkerID: "two:8083", URL: "http://two:8083", Generation: 8}
		all := func(int32) bool { return true }
		set := func(s *running, o Owner, confirm func(context.Context) error, shards ...int32) {
			t.Helper()
			h.must(0, s.SetOwner(h.t.Context(), o, confirm, all, shards...))
		}
		owners := func(want map[int32]Owner) {
			t.Helper()
			h.must(a.Update(h.t.Context(), func(View) ([]Change, error) { return nil, nil }))
			if got := a.View().Owners; !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
		set(a, one, nil, 0, 1, 2)
		owners(map[int32]Owner{0: one, 1: one, 2: one})
		set(b, two, nil, 1)
		before := len(h.records())
		set(b, two, nil, 1)
		if n := len(h.records()); n != before {
			t.Errorf("what was there already was written again")
		}
		owners(map[int32]Owner{0: one, 1: two, 2: one})

		if err := a.SetOwner(h.t.Context(), one, nil, all, 0, 1); !errors.Is(err, ErrNewerOwner) {
			t.Errorf("an older generation: %v", err)
		}
		gone := errors.New("not a member")
		if err := a.SetOwner(h.t.Context(), one, func(context.Context) error { return gone }, all, 1); !errors.Is(err, ErrNewerOwner) || !errors.Is(err, gone) {
			t.Errorf("an older generation, not confirmed: %v", err)
		}
		owners(map[int32]Owner{0: one, 1: two, 2: one})

		again := Owner{WorkerID: "one:8083", URL: "http://one:8083", Generation: 1}
		set(a, again, func(context.Context) error { return nil }, 0, 1) // the group's generations began anew
		owners(map[int32]Owner{0: again, 1: again, 2: one})

		// What the group has taken away meanwhile is not said, be the worker a member still.
		h.must(0, b.SetOwner(h.t.Context(), two, func(context.Context) error { return nil }, func(n int32) bool { return n == 2 }, 0, 1, 2))
		owners(map[int32]Owner{0: again, 1: again, 2: two})
	})
}
