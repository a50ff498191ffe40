package coupatest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// toXML turns an answer into the XML that Coupa sends to a client that does not
// ask for JSON. An empty page is a 404 there.
func (a *answer) toXML(r *resource) {
	a.contentType = xmlType
	if a.status == http.StatusOK && string(a.body) == "[]" {
		a.status = http.StatusNotFound
		a.body = []byte(xmlHead + "<errors>\n<error>No results match your search criteria.</error>\n</errors>\n")
		return
	}
	root := strings.ReplaceAll(r.Singular, "_", "-")
	switch {
	case a.status != http.StatusOK:
		root = "error"
	case bytes.HasPrefix(a.body, []byte("[")):
		root += "s"
	}
	out := appender(xmlHead)
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := appendXML(&out, d, root); err != nil {
		out = append(out, "<!-- a row that is not JSON -->"...)
	}
	a.body = out
}

// appendXML appends the next JSON value as the element name.
func appendXML(out *appender, d *json.Decoder, name string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	attribute, content := "", ""
	switch value := token.(type) {
	case json.Delim:
		return appendXMLGroup(out, d, name, value)
	case nil:
		attribute = ` nil="true"`
	case bool:
		attribute, content = ` type="boolean"`, "false"
		if value {
			content = "true"
		}
	case json.Number:
		attribute, content = ` type="integer"`, value.String()
		if strings.ContainsAny(content, ".e") {
			attribute = ` type="float"`
		}
	case string:
		var text bytes.Buffer
		xml.EscapeText(&text, []byte(value))
		content = text.String()
	}
	*out = append(*out, "<"+name+attribute+">"+content+"</"+name+">\n"...)
	return nil
}

func appendXMLGroup(out *appender, d *json.Decoder, name string, open json.Delim) error {
	attribute := ""
	if open == '[' {
		attribute = ` type="array"`
	}
	*out = append(*out, "<"+name+attribute+">\n"...)
	for d.More() {
		child := strings.TrimSuffix(name, "s")
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			child, _ = key.(string)
		}
		if err := appendXML(out, d, child); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	*out = append(*out, "</"+name+">\n"...)
	return nil
}
