package status

import (
	"net/url"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

// Owner is the worker that runs a connector's tasks; zero: nobody does, as far as is known here.
type Owner struct {
	WorkerID string // host:port
	URL      string // of its REST API
	Local    bool   // it is this worker
}

// Offset is the position of one object, as REST tells and takes it.
type Offset struct {
	Tenant, Object string
	UpdatedAt      time.Time // the mark: every change stamped before it is published
	// the lowest id that a backfill, or else a walk, under way has still to read; 0: none is
	ID    int64
	Reset bool // when altered: the object begins anew, by initial.from
}

// Asker is who asked for a change, for the log.
type Asker struct {
	Who    string // account, or address where there are no accounts
	Reason string // as given; "": none was
}

// Weight is what moving an object's position does to rows, by what Coupa has now.
type Weight struct {
	Object   string
	From, To Offset // From is zero where nothing was published yet
	Again    Count  // rows that go out once more, and what is new
	LeftOut  Count  // changed rows that are not read any more
}

// Count is a number of rows.
type Count struct {
	Rows    int64
	About   bool   // they were too many to be counted, and Rows is reckoned from ids
	Unknown string // why Coupa did not tell; "": it did
}

// SnapshotRequest says which rows of an object are to be
// published as they are, whether or not they were before.
type SnapshotRequest struct {
	Object   string
	From, To time.Time  // stamped from From until before To; zero: no bound
	IDs      []int64    // these rows alone, at most MaxSnapshotIDs; nil: all
	Filter   url.Values // further conditions, as Coupa spells them
}

// MaxSnapshotIDs is how many ids one snapshot takes.
const MaxSnapshotIDs = 1000

// Snapshot is a snapshot that somebody asked for.
type Snapshot struct {
	ID           string
	Object       string
	State        checkpoint.RequestState
	Asked, Ended time.Time
	From, To     time.Time
	Filter       string
	Rows         int64         // read and published until now
	Total        int64         // that there will be, an estimate; 0: not known
	Left         time.Duration // at the speed of late; 0: not known
	Why          string        // of one that has failed
}
