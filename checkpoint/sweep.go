package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// SweepStage is what is done to find deletes.
type SweepStage string

// The stages, in their order.
const (
	SweepLearning   SweepStage = "learning"   // the ids that are in the topic are read from it
	SweepResting    SweepStage = "resting"    // the next sweep is waited for
	SweepReading    SweepStage = "reading"    // ids are read from Coupa
	SweepConfirming SweepStage = "confirming" // rows that are missing are asked for one by one, and deleted
	SweepWaiting    SweepStage = "waiting"    // they wait for somebody's approval
)

var sweepStages = []SweepStage{SweepLearning, SweepResting, SweepReading, SweepConfirming, SweepWaiting}

// Sweep is how far a stream is with finding deletes. Which ids are known, missing and gone stands in the
// sets of ids. Times are Coupa's.
type Sweep struct {
	Stage SweepStage
	// Since is from when on a row that is deleted is found; zero: not known yet.
	Since time.Time
	// Purged: the topic had lost records when ids were read from it; the next sweep adds what it shows.
	Purged bool
	Began  time.Time // of the sweep under way, or the last one; zero: there was none
	Ended  time.Time // when the last one had read all ids
	After  int64     // of the sweep under way: ids up to it are read
	Top    int64     // ids up to it are compared: the highest that was known when the sweep began
	Known  int64     // ids compared
	Lost   int64     // of these, missing
	// Again: the sweep under way looks at what waits for approval, and finds what has come back.
	Again    bool
	Seen     Sight  // by the sweep under way, or the last one
	Last     Sight  // by the last sweep whose result was taken
	Why      string // it waits for approval
	Approved time.Time
	Deleted  int64 // rows, since ids are known
}

// Sight is what a sweep saw of an object, to compare another one with.
type Sight struct {
	Rows    int64   // ids shown
	Highest int64   // of these
	Oldest  []int64 // of these, the lowest few
	Scopes  string  // of the token
	Blind   bool    // the object was BLIND
}

func (s *Sweep) clone() *Sweep {
	if s == nil {
		return nil
	}
	c := *s
	c.Seen.Oldest, c.Last.Oldest = slices.Clone(s.Seen.Oldest), slices.Clone(s.Last.Oldest)
	return &c
}

func (s *Sweep) check() error {
	switch {
	case s == nil:
		return nil
	case !slices.Contains(sweepStages, s.Stage):
		return fmt.Errorf("unknown stage of a sweep %q: %w", s.Stage, ErrNewer)
	case s.After < 0 || s.Top < 0:
		return errors.New("ids are not negative")
	}
	return nil
}

type sweepJSON struct {
	Stage    SweepStage `json:"stage"`
	Since    string     `json:"since,omitempty"`
	Purged   bool       `json:"purged,omitempty"`
	Began    string     `json:"began,omitempty"`
	Ended    string     `json:"ended,omitempty"`
	After    int64      `json:"after,omitempty"`
	Top      int64      `json:"top,omitempty"`
	Known    int64      `json:"known,omitempty"`
	Lost     int64      `json:"missing,omitempty"`
	Again    bool       `json:"again,omitempty"`
	Seen     *sightJSON `json:"seen,omitempty"`
	Last     *sightJSON `json:"last,omitempty"`
	Why      string     `json:"why,omitempty"`
	Approved string     `json:"approved,omitempty"`
	Deleted  int64      `json:"deleted,omitempty"`
}

type sightJSON struct {
	Rows    int64   `json:"rows,omitempty"`
	Highest int64   `json:"highest,omitempty"`
	Oldest  []int64 `json:"oldest,omitempty"`
	Scopes  string  `json:"scopes,omitempty"`
	Blind   bool    `json:"blind,omitempty"`
}

func sightForm(s Sight) *sightJSON {
	form := sightJSON(s)
	if s.Rows == 0 && s.Highest == 0 && len(s.Oldest) == 0 && s.Scopes == "" && !s.Blind {
		return nil
	}
	return &form
}

func sweepForm(s *Sweep) *sweepJSON {
	if s == nil {
		return nil
	}
	return &sweepJSON{
		Stage: s.Stage, Since: formatTime(s.Since), Purged: s.Purged, Began: formatTime(s.Began), Ended: formatTime(s.Ended), After: s.After, Top: s.Top,
		Known: s.Known, Lost: s.Lost, Again: s.Again, Seen: sightForm(s.Seen), Last: sightForm(s.Last), Why: s.Why, Approved: formatTime(s.Approved),
		Deleted: s.Deleted,
	}
}

func (v *sweepJSON) sweep() (*Sweep, error) {
	if v == nil {
		return nil, nil
	}
	s := &Sweep{
		Stage: v.Stage, Purged: v.Purged, After: v.After, Top: v.Top, Known: v.Known, Lost: v.Lost, Again: v.Again, Why: v.Why, Deleted: v.Deleted,
	}
	if v.Seen != nil {
		s.Seen = Sight(*v.Seen)
	}
	if v.Last != nil {
		s.Last = Sight(*v.Last)
	}
	var errs [4]error
	s.Since, errs[0] = parseTime(v.Since)
	s.Began, errs[1] = parseTime(v.Began)
	s.Ended, errs[2] = parseTime(v.Ended)
	s.Approved, errs[3] = parseTime(v.Approved)
	return s, errors.Join(errs[:]...)
}
