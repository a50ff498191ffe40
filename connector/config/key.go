package config

import (
	"cmp"
	"slices"
	"strings"
)

// keyMarks are the characters of keys that people take for each other.
const keyMarks = "-_."

// Type is the type of a key's value, by the name that Kafka Connect's REST API gives it.
type Type string

// The types that keys have. All values are written as strings, whatever their type.
const (
	String   Type = "STRING"
	Int      Type = "INT"
	Long     Type = "LONG"
	Double   Type = "DOUBLE"
	Boolean  Type = "BOOLEAN"
	List     Type = "LIST" // comma separated; a YAML or JSON list is taken too
	Password Type = "PASSWORD"
)

// Importance tells how likely a user has to think about a key, by Kafka Connect's names.
type Importance string

// The three importances that Kafka Connect knows.
const (
	High   Importance = "HIGH"
	Medium Importance = "MEDIUM"
	Low    Importance = "LOW"
)

// Key is the declaration of one configuration key.
type Key struct {
	Name       string
	Type       Type
	Importance Importance
	Required   bool
	Default    string   // the value used when the key is not given; "" for none, or a derived one
	Derived    string   // where the default comes from when it is not a constant, in words
	Example    string   // a value to show in remedies
	Values     []string // all values there are, for keys with a closed set
	File       bool     // values are paths of files; one that is not absolute is beside the file that has it
	PerObject  bool     // object.<path>.<name> may override it for one object
	Group      string   // heading under which tools show it; connectors' keys alone have one
	Doc        string   // one or two sentences for users
}

// Secret tells whether values of the key must never be shown.
func (k Key) Secret() bool { return k.Type == Password }

// setting binds a key to the field of T that it fills. set gets a value that
// is not empty unless the key's default is empty too, trimmed, and already one
// of Values where the key has them; on a fault the field keeps what it held.
type setting[T any] struct {
	Key
	set func(into *T, value string) *fault
}

// fault is what is wrong with a value: the message completes "key = value: …", the remedy completes "…; …".
type fault struct{ message, remedy string }

// assign checks a value against the declaration and stores
// it. Values are trimmed, as Kafka's ConfigDef does.
func (s setting[T]) assign(into *T, value string) *fault {
	value = strings.TrimSpace(value)
	if value == "" && (s.Required || s.Default != "") {
		return &fault{"is empty", "give a value" + s.example() + s.orLeaveOut()}
	}
	if len(s.Values) > 0 && value != "" {
		canonical, f := s.oneOf(value)
		if f != nil {
			return f
		}
		value = canonical
	}
	f := s.set(into, value)
	if f != nil { // any number; the key has one that fits
		f.remedy = strings.Replace(f.remedy, aWholeNumber, "a whole number, e.g. "+cmp.Or(s.Example, s.Default), 1)
	}
	return f
}

// oneOf finds value in the key's closed set, whatever its letter case.
func (k Key) oneOf(value string) (string, *fault) {
	for _, v := range k.Values {
		if strings.EqualFold(v, value) {
			return v, nil
		}
	}
	return "", &fault{"not one of " + strings.Join(k.Values, ", "), meant(value, k.Values, "write one of them")}
}

func (k Key) example() string {
	if k.Example == "" {
		return ""
	}
	return ", e.g. " + k.Example
}

func (k Key) orLeaveOut() string {
	if k.Required {
		return ""
	}
	return ", or leave the key out"
}

// grouped puts the settings of a table under one heading.
func grouped[T any](heading string, settings []setting[T]) []setting[T] {
	for i := range settings {
		settings[i].Group = heading
	}
	return settings
}

// keysOf strips the bindings off a table.
func keysOf[T any](settings []setting[T]) []Key {
	keys := make([]Key, len(settings))
	for i, s := range settings {
		keys[i] = s.Key
	}
	return keys
}

// has tells whether a key of that name is among them.
func has(keys []Key, name string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name })
}

// names lists the keys' names.
func names(keys []Key) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.Name
	}
	return all
}

// keyNamed looks declarations up; an unknown name may be a mistyped secret and is treated as one.
func keyNamed(keys []Key) func(name string) Key {
	named := make(map[string]Key, len(keys))
	for _, k := range keys {
		named[k.Name] = k
	}
	return func(name string) Key {
		if k, found := named[name]; found {
			return k
		}
		return Key{Name: name, Type: Password}
	}
}
