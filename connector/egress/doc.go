// Package egress keeps requests whose address somebody else
// chose away from what is reachable from here alone.
//
// A connector that is made over REST names the host that this worker talks to, so whoever may make one
// could use the worker to reach services of its machine and network, or a cloud's metadata service,
// and could have secrets of the worker sent to a host of his own. A [Policy] says which hosts are
// fine. It looks at the name before a request, and at the address after the name was resolved, at the
// moment of connecting: a name that resolves to another address the second time does not get through.
//
// What the operator of a worker wrote into its files is not checked: he may do more than that.
package egress
