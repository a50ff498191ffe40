// Package failpoint lets tests end or fail the program at each step of the pipeline, before it
// ("not applied") and behind it ("applied, but the answer was lost"). Without the build tag
// failpoints every call is a constant nil that the compiler removes; a released binary has none.
//
// With the tag, [Set] arms a point from a test, and the environment arms one for a process:
//
//	COUPASTREAM_FAILPOINTS="commit:after@3=kill,fetch:before=error"
//
// The third time that a commit is answered, the process sends itself SIGKILL;
// the first page is not asked for. Actions: kill (SIGKILL), stop (SIGSTOP, until
// somebody sends SIGCONT), error (the step fails once, in a way that passes).
package failpoint

// Point names a step of the pipeline, as package connector numbers them.
type Point string

// The ten steps.
const (
	Fetch   Point = "fetch"   // 1: a page is asked for
	Decode  Point = "decode"  // 2: a row has come and was checked
	Decide  Point = "decide"  // 3: fresh, duplicate or stale
	Encode  Point = "encode"  // 4: the row becomes a record
	Begin   Point = "begin"   // 5: the transaction begins
	Produce Point = "produce" // 6: its data records
	Mark    Point = "mark"    // 7: its checkpoint records
	Commit  Point = "commit"  // 8: the truth
	Apply   Point = "apply"   // 9: the same to the local store
	Restore Point = "restore" // 10: a new owner fences and reads the checkpoint topic
)

// Points lists the ten in order.
func Points() []Point {
	return []Point{Fetch, Decode, Decide, Encode, Begin, Produce, Mark, Commit, Apply, Restore}
}

// Beside the ten, where exported.mode is mark.
const (
	Stamps Point = "stamps" // the stamps of published rows are read once more
	Export Point = "export" // one of them is marked as exported in Coupa
	Marked Point = "marked" // what was marked is handed over to be taken off what is to be
)

// Marks lists those in order.
func Marks() []Point { return []Point{Stamps, Export, Marked} }
