// Package lineage tells a data catalog where the topics come from: run events of OpenLineage
// (https://openlineage.io), as JSON over HTTP.
//
// A task, one object of a connector, is a job, and the time for which it runs without a stop a run of it:
//
//	START     it runs
//	RUNNING   its schema is known, or is another one: the topics with their fields, and for each field those
//	          of Coupa's that it is made of, with what a mapping does to them
//	FAIL      it failed, with why
//	COMPLETE  it is over: paused, stopped, gone, or another worker's
//
// The input of a job is the dataset coupa://HOST/OBJECT, its outputs are the topics, kafka://BROKER/TOPIC.
//
// # How events come about
//
// [Watch] is pure: it compares what tasks are like with what was told of them, and gives the next event that
// is due. What was told is noted when it was taken. So nothing waits in a queue: while a catalog is away,
// what would be told is always what is so by then, a task costs what was told of it last and no more, and
// what came and went meanwhile is not told at all.
//
// An [Emitter] sends them, at most sixty requests a minute. It never holds up who asks it for more than
// a request takes; whoever runs it gives it a goroutine of its own. No task waits for it or fails by it. An
// event that is not taken is due again at the next round; one that is refused (4xx) counts as told.
package lineage
