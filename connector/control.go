package connector

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

// What a request to a worker can meet.
var (
	ErrUnknownConnector = errors.New("there is no such connector")
	ErrUnknownTask      = errors.New("there is no such task")
	ErrConnectorExists  = errors.New("the connector exists already")
	// ErrFromFile: the connector is defined by a file that the worker
	// was started with, and its configuration is changed there.
	ErrFromFile = errors.New("the connector is defined by a file of the worker; change the file and restart the worker")
	// ErrNotStopped: what was asked for needs a connector in the state STOPPED.
	ErrNotStopped = errors.New("the connector is not in the STOPPED state")
	// ErrStarting: the worker has not read the config topic yet, or is not a member of its group yet.
	ErrStarting        = errors.New("the worker is still starting up")
	ErrUnknownSnapshot = errors.New("there is no such snapshot")
	// ErrBusy: somebody else changes the same thing at this moment; the same request may go through later.
	ErrBusy = errors.New("another change is under way")
)

// Owner is the worker that runs a connector's tasks; zero: nobody does, as far as is known here.
type Owner struct {
	WorkerID string // host:port
	URL      string // of its REST API
	Local    bool   // it is this worker
}

// NotOwnerError says that another worker runs the connector's tasks and has to be asked.
type NotOwnerError struct{ Owner Owner }

func (e *NotOwnerError) Error() string {
	if e.Owner == (Owner{}) {
		return "no worker of the group runs the connector now"
	}
	return fmt.Sprintf("worker %s runs the connector", e.Owner.WorkerID)
}

// RestartRequest says what to restart of a connector.
type RestartRequest struct {
	Task         *int // this task alone; the others do not count then
	IncludeTasks bool // the tasks too, and not only the connector
	OnlyFailed   bool // of these, what is FAILED
}

// Offset is the position of one object, as REST tells and takes it.
type Offset struct {
	Tenant, Object string
	UpdatedAt      time.Time // the mark: every change stamped before it is published
	// the lowest id that a backfill, or else a walk, under way has still to read; 0: none is
	ID    int64
	Reset bool // when altered: the object begins anew, by initial.from
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
