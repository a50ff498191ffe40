// Package preflight tries what a run needs, before there is one, and tells of each thing whether it is
// there, with the remedy where it is not: for `coupastream validate --online`.
//
// It changes nothing. Brokers are asked to describe; CreateTopics is sent with validate_only alone; no
// transactional id is taken, and nothing is produced. The registry is asked for modes, levels, what is
// registered, and whether it would take a schema. A webhook is connected to, and sent nothing. A file is
// written below state.dir, or where that is to be made, and removed. What can't be tried so is told as not
// tried, with the reason.
//
// Schemas are tried by the maker of the records itself ([record.Maker]), with a registry in which Register
// asks only: so what a mapping, custom fields, lines and schema.conflict make of them is what a run has.
// Coupa is tried by the command, which has the clients.
//
// # Files
//
//	finding.go     what is told
//	local.go       listeners, state.dir, webhooks
//	space_unix.go, space_other.go  how much room a disk has
//	kafka.go       brokers and their limits, the group, transactional ids
//	topics.go      rights on topics, their policies and limits
//	schemas.go     the registry, and the schemas that it would get
package preflight
