// Package security stands between the network and the REST API: who
// is let in, what he may do, and how much of the worker he may take.
//
// A [Listener] is an address that requests come in by, with TLS where its URL
// says https, and with bounds for the connections that are open at one time
// (connections.go). A [Guard] looks at each request before the API does:
//
//  1. every answer has the headers that keep browsers from making more of it than it is
//  2. on loopback the Host must be a name of this machine, or
//     a web page could have its own name point here origin.go
//  3. /livez and /readyz are answered to everybody, whatever else is going on
//  4. requests beyond what runs at one time are turned away; those
//     that need no account have places of their own limit.go
//  5. pages of other origins may do what the configuration says:
//     read, if anything; preflights are answered origin.go
//  6. who is it? a user, a token, or a certificate of the
//     accounts file; failures are slowed down authenticate.go. Who asks
//     for a token for doorbells is answered here hook.go
//  7. who may read alone changes nothing, and who may ring alone does nothing else; what agents ask for at
//     /mcp comes by here once more, as the request that it is
//  8. a body is read whole, up to a bound; that of a request that only reads is not, and that
//     of a doorbell is thrown away
//
// Files (accounts, certificates, keys, authorities) are read again when they
// change; one that can't be used leaves the former in place, and the log says so.
//
// A client's certificate is looked at again with each request,
// and answers that last ask again with [StillAdmitted].
//
// Handlers learn who asks from [CallerOf]. Requests to other workers of the group go through [NewForwarder].
package security
