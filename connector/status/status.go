package status

import (
	"fmt"
	"sync"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
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
	ID         int    // place of the object in the connector's list
	Object     string // resource path
	Topic      string
	LineTopics []string // of the object's lines, where these have topics of their own
	State      State
	// why it is FAILED, or what it is waiting for while it retries; "" otherwise
	Trace string
	// every change with an updated-at before it is in the topic, but for what a backfill has still to read
	Mark       time.Time
	Snapshot   bool      // the backfill of what was there before is under way
	Backfilled time.Time // when it was read to its end; zero: it was not, since the start
	Rows       int64     // rows read from Coupa since the start
	Published  int64     // records committed to the object's topic since the start
	// records of lines, tombstones included, committed to topics of their own since the start
	Lines   int64
	Gone    int64 // rows committed as deleted since the start
	Dropped int64 // rows read again and dropped as published
	Polls   int64 // polls that were drained
	// rings of its doorbell that this worker has heard since the start, and polls out of turn that came of it
	Doorbells  int64
	EarlyPolls int64
	// rows published that became visible only after the mark had passed their updated-at
	Late     int64
	Lateness time.Duration // how far behind the mark the latest of them was
	// the same of those since the last point of the instance's history
	LatenessNow time.Duration
	// changes published that did not move their row's updated-at: of lines, most of them
	Silent      int64
	SetBack     int64  // rows published with an older updated-at than they had been published with
	DeadLetters int64  // rows that went to the dead letter topic
	DeadLetter  string // why the last of them did
	Trimmed     int64  // records whose texts were cut to what the topic takes
	Malformed   int64  // texts of rows published with bytes that are not UTF-8: U+FFFD stands in their place
	// rows without updated-at, in an object that has one, that are known; and how long the last search for
	// new ones took, 0: none was ended since the start
	Undated int64
	Round   time.Duration
	// values of custom fields that stayed JSON text in unmapped, by field; not changed once here
	Unfit map[string]int64
	// requests that a page with rows takes: more than one where
	// the line of one would be too long; 0: not known yet
	PageRequests int
	// values that can't be read as their fields' types and went to unmapped, by field; not changed once here
	Unreadable map[string]int64
	// values that stand nowhere (unmapped=off), by field; not changed once here
	LeftOut   map[string]int64
	Committed checkpoint.Position
	Marking   Marking

	Condition Condition
	// where the mark was after the last poll: every change before it is in the topic, but for a
	// backfill's; of one that was never polled, when the task began. It stands while the task is BLIND, and
	// was past when it was proven: a mark that a clock which runs ahead has left in the future proves
	// nothing of what comes until then
	Proven   time.Time
	Verified Verified  // the last comparison with Coupa
	Progress Progress  // of the backfill
	Errors   []Trouble // the last ones, newest first; at most maxTroubles
	Notices  []Trouble // what stays so until a person acts
	Restarts int       // automatic restarts of the failed task since a poll was last drained
	// of a FAILED task: when it restarts itself; zero: nobody knows, or it is not FAILED
	NextTry        time.Time
	CircuitOpen    bool            // it has failed so often that it is tried seldom
	SchemaVersions []SchemaVersion // registered or found since the start, oldest first
	LookbackFinds  int64           // rows that a look-back found and the ledger did not know

	// versions after the first one of their subject, those included that SchemaVersions has forgotten
	Schemas int64
	// subjects of schemas that the registry gave another id than before, since the start
	Renumbered int64
	Restarted  int64             // automatic restarts since the start
	Moved      int64             // times that a request moved its position, since the start
	Letters    Letters           // its dead letters that wait, on its owner only
	Failures   int64             // errors that stopped the task, since the start
	Retries    int64             // errors that it waited for, since the start
	Objective  time.Duration     // freshness.objective.ms; 0: none
	Interval   time.Duration     // from one reading to the next, at present
	Answers    map[string]uint64 // of Coupa to the requests for the object, by status
	Fill       float64           // share of a full page that the pages read of late held
	Readings   Readings
	Deletes    *Deletes // nil: they are not looked for, or nothing is known of it yet
}

// Deletes is how far the search for deletes in an object is. Times are Coupa's; zero: not yet.
type Deletes struct {
	Stage                 checkpoint.SweepStage
	Since                 time.Time // from when on a row that is deleted is found
	Audit                 bool      // Coupa's API deletes no rows of the object: what is missing waits
	Began, Ended          time.Time // of the last sweep
	Known, Shown, Missing int64     // rows that it compared, was shown, and did not find
	Examples              []int64   // ids of these
	Why                   string    // it waits for approval
	Approved              time.Time // of what is confirmed
	Deleted               int64     // rows deleted in all
	Progress              Progress  // of a sweep that reads
}

// Condition says what a RUNNING task is like, beside Connect's closed set of states.
type Condition string

// The conditions of a task.
const (
	Idle        Condition = "IDLE"        // has nothing new to publish
	Busy        Condition = "BUSY"        // publishes changes
	Throttled   Condition = "THROTTLED"   // Coupa answers 429 or 503, or a quota of Kafka holds records back
	Stuck       Condition = "STUCK"       // nothing was proven for much longer than its polls take
	Blind       Condition = "BLIND"       // a scope is missing, or nothing is there where rows used to be
	Waiting     Condition = "WAITING"     // a sweep for deletes waits for somebody's approval
	Incomplete  Condition = "INCOMPLETE"  // a topic was deleted and made again, and lacks rows
	Unmarked    Condition = "UNMARKED"    // rows are published, and can't be marked as exported
	Backfilling Condition = "BACKFILLING" // reads what was there before the stream began
)

// Progress of a backfill. Total is an estimate from ids, 0 while there is none.
type Progress struct {
	Done, Total int64         // rows
	Left        time.Duration // at the speed of late; 0: not known
}

// Letters are an object's dead letters that nobody has replayed.
type Letters struct {
	Counted bool // false: no topic is named for them, or they could not be counted yet
	Waiting int64
}

// SchemaVersion is a schema that a task's records carry.
type SchemaVersion struct {
	At      time.Time
	Subject string
	ID      int
}

// ConnectorStatus is a connector with its tasks, as known on this worker.
type ConnectorStatus struct {
	Name   string
	Tenant string
	// as asked for: RUNNING, PAUSED, STOPPED; FAILED if its configuration can't be used
	State    State
	Trace    string            // why it is FAILED
	Config   map[string]string // as given, with secrets that were written out hidden
	FromFile bool              // its configuration can't be changed over REST
	Owner    Owner
	Rate     RateStatus  // on its owner only
	Token    TokenStatus // on its owner only
	// how far Coupa's clock is ahead of this machine's, below 0: behind; on its owner only
	ClockAhead time.Duration
	Tasks      []TaskStatus // live on its owner; elsewhere UNASSIGNED
	Untold     Untold
}

// Untold is what Connect's API does not tell of a connector until it is RUNNING.
type Untold struct {
	Tasks  bool // it was STOPPED, or created so or PAUSED, and has none since
	Topics bool // those that it used were forgotten (PUT …/topics/reset), or it was never RUNNING
}

// Then is what is not told once the connector is asked to be in a state. Before its first one, nothing is.
func (u Untold) Then(s State) Untold {
	if s == Running {
		return Untold{}
	}
	return Untold{Tasks: u.Tasks || s == Stopped, Topics: u.Topics}
}

// NeverRan is what is not told of a connector that is made.
var NeverRan = Untold{Tasks: true, Topics: true}

// Readings are measures of a task as Kafka Connect's metrics
// have them, of the last 30 to 60 s; times in milliseconds.
type Readings struct {
	Poll    Reading // what a page took from the request on, and how many
	Commit  Reading // what a transaction with something of the task took
	Batch   Reading // its records in it; Rate: of records
	Rows    Reading // of a page; Rate: of rows read
	Running Reading // Average: share of the time in which it was RUNNING
	Paused  Reading
}

// Task holds a TaskStatus that pollers change and others read.
type Task struct {
	// Set once.
	instance *Instance
	object   *config.Object
	settle   time.Duration // how far a window stays behind Coupa's clock
	changed  func()        // called after each change; must not block

	mu sync.Mutex
	s  TaskStatus
	v  vitals
}

// NewTask makes the task of an object, the i-th of its connector.
func NewTask(i int, o *config.Object, state State, in *Instance, changed func()) *Task {
	period := o.Period()
	return &Task{
		instance: in, object: o, settle: o.Settle, changed: changed,
		s: TaskStatus{ID: i, Object: o.Path, Topic: o.Topic, LineTopics: o.LineTopics(), State: state, Objective: o.Freshness, Interval: period},
	}
}

// Update changes the status. f must not block.
func (t *Task) Update(f func(*TaskStatus)) {
	t.mu.Lock()
	f(&t.s)
	t.mu.Unlock()
	t.changed()
}

// note changes what is not in the status itself.
func (t *Task) note(f func(*TaskStatus, *vitals)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.s, &t.v)
}

func isEmpty(text string) bool { return text == "" }

// waitsFor says of a task that is stuck, and does not say why, which answer
// it waits for; "" where it waits for none.
func (t *Task) waitsFor(c Condition, now time.Time) string {
	if c != Stuck || t.instance == nil {
		return ""
	}
	e, waits := t.instance.source.Underway(t.s.Object)
	switch since := now.Sub(e.Since).Round(time.Second); {
	case !waits:
		return ""
	case e.Answered:
		return fmt.Sprintf("the answer to %s has been arriving for %s, %d bytes so far", e.Op, since, e.Bytes)
	default:
		return fmt.Sprintf("there has been no answer to %s for %s", e.Op, since)
	}
}

// mostApart is how far Coupa's clock and this machine's may differ without a word.
const mostApart = time.Minute

// clocksApart says that the two clocks differ, and what that does; "" where they do not.
func clocksApart(ahead time.Duration) string {
	apart := ahead.Abs().Round(time.Second)
	switch {
	case ahead > mostApart:
		return fmt.Sprintf("the Date of Coupa's answers is %s ahead of this machine's clock; windows end by this machine's: set right the one that is wrong", apart)
	case ahead < -mostApart:
		return fmt.Sprintf("the Date of Coupa's answers is %s behind this machine's clock; windows end by it: set right the one that is wrong", apart)
	default:
		return ""
	}
}
