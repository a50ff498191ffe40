package connector

import (
	"sync"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

// State is a state of Kafka Connect's closed set.
type State string

// The states that a task (one object of a connector) and a connector can be in.
const (
	Unassigned State = "UNASSIGNED"
	Running    State = "RUNNING"
	Paused     State = "PAUSED"
	Stopped    State = "STOPPED"
	Failed     State = "FAILED"
)

// TaskStatus is what is known of one object of one connector.
type TaskStatus struct {
	ID          int    // place of the object in the connector's list
	Object      string // resource path
	Topic       string
	State       State
	Trace       string           // why it is FAILED, or what it is waiting for while it retries; "" otherwise
	Mark        time.Time        // every change with an updated-at before it is in the topic, but for what a backfill has still to read
	Snapshot    bool             // the backfill of what was there before is under way
	Rows        int64            // rows read from Coupa since the start
	Published   int64            // records committed to the object's topic since the start
	Dropped     int64            // rows read again and dropped as published
	Polls       int64            // polls that were drained
	Late        int64            // rows published that became visible only after the mark had passed their updated-at
	Lateness    time.Duration    // how far behind the mark the latest of them was
	Silent      int64            // changes published that did not move their row's updated-at: of lines, most of them
	DeadLetters int64            // rows that went to the dead letter topic
	DeadLetter  string           // why the last of them did
	Trimmed     int64            // records whose texts were cut to what the topic takes
	Unfit       map[string]int64 // values of custom fields that stayed JSON text in unmapped, by field; not changed once here
	Committed   checkpoint.Position
}

// ConnectorStatus is a connector with its tasks.
type ConnectorStatus struct {
	Name   string
	Tenant string
	State  State
	Config map[string]string // as given, with secrets hidden
	Tasks  []TaskStatus
}

// task holds a TaskStatus that pollers change and others read.
type task struct {
	mu sync.Mutex
	s  TaskStatus
}

func (t *task) update(f func(*TaskStatus)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.s)
}

// Status returns a copy.
func (t *task) Status() TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.s
}
