// Package status is what is known of connectors and tasks: states, positions, troubles with their
// remedies, pace, token, and conditions that follow from these. The REST API, the status page, metrics
// and notifications are all made of it, so that two of them can't tell different things.
//
// A [Task] holds the status of one object. The pipeline reports to it what happens ([Task.Take],
// [Task.Failed], [Task.Proved] and the like), and anybody may ask. What follows from the time is worked
// out when asked. An error says itself what helps and whether it passes (methods Remedy and Temporary):
// no package has a list of the others' errors.
//
// It is a leaf that every room may read: it imports no other room, and asks Coupa and Kafka nothing.
//
// # Goroutines and locks
//
// It has no goroutine. Task.mu guards one task's status, Instance.mu the history of one instance's pace.
// Neither is held while calling out: that something has changed is told afterwards. No function that is
// given to [Task.Update] may block.
//
// # Files
//
//	status.go     what is told: states, tasks, connectors
//	vitals.go     what the pipeline reports of a task
//	condition.go  pure: what a task is like beside its state
//	notice.go     what stays so until a person acts: of topics
//	marking.go    how far rows are marked as exported in Coupa
//	trouble.go    an error, and apart from it the remedy; whether it passes by itself
//	outage.go     what the log is told of trouble that passes, once
//	progress.go   pure: how fast a count grows, how much there is in all, and how long the rest takes
//	measure.go    pure: averages and paces of late
//	instance.go   the pace of one Coupa instance, with its last hour, and its token
//	verified.go   the last comparison of an object with Coupa, and what it proves
//	asked.go      owners, offsets and snapshots, as REST tells and takes them
package status
