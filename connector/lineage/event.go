package lineage

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// Addresses of the specification's schemas.
const (
	spec   = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	facets = "https://openlineage.io/spec/facets/"
)

// Event is a run event. Its members are the specification's.
type Event struct {
	Type      string    `json:"eventType"`
	Time      time.Time `json:"eventTime"`
	Producer  string    `json:"producer"`
	SchemaURL string    `json:"schemaURL"`
	Run       Run       `json:"run"`
	Job       Job       `json:"job"`
	Inputs    []Dataset `json:"inputs"`
	Outputs   []Dataset `json:"outputs"`
}

// Run is one of a job.
type Run struct {
	ID     string         `json:"runId"`
	Facets map[string]any `json:"facets"`
}

// Job is what runs.
type Job struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Facets    map[string]any `json:"facets"`
}

// Dataset is what a run reads or writes.
type Dataset struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Facets    map[string]any `json:"facets,omitempty"`
}

// base is what every facet has.
type base struct {
	Producer  string `json:"_producer"`
	SchemaURL string `json:"_schemaURL"`
}

type engineFacet struct {
	base
	Name    string `json:"name"`
	Version string `json:"version"`
}

type errorFacet struct {
	base
	Message  string `json:"message"`
	Language string `json:"programmingLanguage"`
}

type jobTypeFacet struct {
	base
	Processing  string `json:"processingType"`
	Integration string `json:"integration"`
	JobType     string `json:"jobType"`
}

type schemaFacet struct {
	base
	Fields []Field `json:"fields"`
}

// Field is one of a dataset's.
type Field struct {
	Name        string  `json:"name"`
	Type        string  `json:"type"`
	Description string  `json:"description,omitempty"`
	Fields      []Field `json:"fields,omitempty"`
}

type columnFacet struct {
	base
	Fields map[string]column `json:"fields"`
}

type column struct {
	Inputs []InputField `json:"inputFields"`
}

// InputField is a field that another one is made of.
type InputField struct {
	Namespace       string           `json:"namespace"`
	Name            string           `json:"name"`
	Field           string           `json:"field"`
	Transformations []Transformation `json:"transformations"`
}

// Transformation is what becomes of it.
type Transformation struct {
	Type        string `json:"type"`
	Subtype     string `json:"subtype"`
	Description string `json:"description,omitempty"`
	Masking     bool   `json:"masking"`
}

// newRunID is a UUID of version 7, which the specification recommends: ids of later runs are greater.
func newRunID(now time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(now.UnixMilli()))
	copy(id[:6], at[2:])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
