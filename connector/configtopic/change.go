package configtopic

import "maps"

// Change is something to write: made by PutConnector and its like, written by Update.
type Change struct{ entries []entry }

// PutConnector gives a connector a configuration: a new one, or another one.
func PutConnector(name string, properties map[string]string) Change {
	all := map[string]string{}
	maps.Copy(all, properties)
	return Change{[]entry{{kind: connector, name: name, properties: all}}}
}

// DeleteConnector removes a connector with its target state, and what comparisons of it have found.
func DeleteConnector(name string) Change {
	return Change{[]entry{{kind: connector, name: name, gone: true}, {kind: targetState, name: name, gone: true}, {kind: verified, name: name, gone: true}}}
}

// PutState gives a connector a target state. The connector may be one of a file.
func PutState(name string, t Target) Change {
	return Change{[]entry{{kind: targetState, name: name, target: t}}}
}

// DeleteState removes a connector's target state: what it is to do is again said by its configuration.
func DeleteState(name string) Change {
	return Change{[]entry{{kind: targetState, name: name, gone: true}}}
}

// PutLevel gives a logger a level on all workers.
func PutLevel(name, level string) Change {
	return Change{[]entry{{kind: logger, name: name, level: level}}}
}

// DeleteLevel removes what was said of a logger.
func DeleteLevel(name string) Change {
	return Change{[]entry{{kind: logger, name: name, gone: true}}}
}

// putOwner is SetOwner's.
func putOwner(n int32, o Owner) Change {
	return Change{[]entry{{kind: shard, shard: n, owner: o}}}
}
