// Package agents has programs that act for people ask and order what the REST API knows and does, by the
// Model Context Protocol: over HTTP at /mcp ([Handler]), and over any two streams ([Serve]).
//
// A [Tool] is an operation of the REST API, with the name, the words and the parameters that openapi.yaml
// has for it. What a tool does is a request to that API and nothing else, so that accounts, roles, limits,
// what is hidden, and the log's line of each request are the API's own. Requests of /mcp go where the request
// came in, through security.Guard, as whoever sent that: see [Handler].
//
// Tools that change something are there where somebody allows it, for those that may. What a tool gives
// is at most 64 KiB, and says what it has left out.
//
//	tools.go   operations as tools
//	answer.go  what an agent is told, within bounds
//	server.go  the protocol, over streams and at /mcp
package agents
