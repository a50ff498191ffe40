package status

import "time"

// Marking is how far the rows of an object are marked as exported in Coupa, where exported.mode is mark.
type Marking struct {
	Waiting int64    // rows published that are not marked yet
	Marked  int64    // rows that need no mark any more, since the start
	Failed  int64    // marks that failed, since the start; they are tried again
	Trouble *Trouble // why marks fail until a person acts; nil: they do not
}

// CantMark notes why rows can't be marked as exported; nil: they can. It stops nothing.
func (t *Task) CantMark(err error) {
	t.note(func(s *TaskStatus, _ *vitals) {
		if err == nil {
			s.Marking.Trouble = nil
			return
		}
		trouble := TroubleOf(err, time.Now())
		if s.Marking.Trouble != nil { // it goes on
			trouble.At = s.Marking.Trouble.At
		}
		s.Marking.Trouble = &trouble
	})
}
