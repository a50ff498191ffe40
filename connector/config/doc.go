// Package config is the one model of coupastream's configuration.
//
// Every key is declared once, in the tables of worker_keys.go, connector_keys.go and object_keys.go: name,
// type, default, importance, documentation, check, and the field that it fills. Parsing, validation, the
// reference in README.md and the definitions that the REST API shows are all read from these tables.
//
// A new key is a declaration and a field. "go generate" writes the reference, and "go test -update"
// what the tests hold of every key: its default, and what it says to values that it does not take.
//
// A worker file and a connector file are flat maps of string keys, as Kafka Connect has them, written
// as YAML, JSON or .properties (chosen by the file's suffix). LoadWorker and LoadConnector read one
// file and give a typed result, or Problems: everything that is wrong with the file at once, each with
// key, value and remedy. Nothing below package main reads the environment; a Lookup is passed in.
//
// Values may hold references to the outside, in the syntax of Kafka's ConfigTransformer:
//
//	${env:NAME}        an environment variable
//	${file:/path:key}  one key of a .properties file
//	${dir:/folder:f}   the content of the file f in a folder, without surrounding white space
//
// The value as given is kept beside the resolved one (Raw),
// so that a configuration can be echoed without its secrets.
//
// What is here in place of keys that other connectors have knows internal/foreign.
package config

//go:generate go run ./internal/readme README.md
