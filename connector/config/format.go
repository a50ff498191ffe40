package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/magiconair/properties"
	"go.yaml.in/yaml/v3"
)

// parseYAML reads one YAML document. Scalars are taken as they are
// written, whatever type YAML would give them: 010 stays "010".
func parseYAML(content []byte) ([]member, *fault) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, yamlFault(err)
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, &fault{"more than one YAML document", "put each into a file of its own"}
	}
	if root := doc.Content[0]; root.Kind != yaml.MappingNode {
		return nil, &fault{"not a map of keys to values", "write one key: value per line"}
	}
	return yamlMembers(doc.Content[0]), nil
}

// yamlFault says where the text breaks off, without the
// parser's quotes of it: they may show part of a secret.
func yamlFault(err error) *fault {
	message := regexp.MustCompile(`'[^']*'|".*"|!\S*`).ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "…")
	remedy := "quote values that begin with or hold special characters"
	if strings.Contains(message, "tab character") {
		remedy = "indent and separate with spaces: YAML takes no tabs there"
	}
	return &fault{"not YAML: " + message, remedy}
}

func yamlMembers(mapping *yaml.Node) []member {
	var members []member
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		members = append(members, yamlMember(mapping.Content[i], mapping.Content[i+1]))
	}
	return members
}

func yamlMember(key, value *yaml.Node) member {
	m := member{key: key.Value, line: key.Line}
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch {
	case value.Kind == yaml.MappingNode:
		m.kind, m.members = nested, yamlMembers(value)
	case value.Kind == yaml.SequenceNode:
		m.kind = list
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				m.fault = &fault{"a list of more than plain values", "list plain values only"}
			}
			m.items = append(m.items, item.Value)
		}
	case value.ShortTag() == "!!null":
		m.kind = null
	case !strings.HasPrefix(value.ShortTag(), "!!"):
		m.fault = &fault{"begins with a YAML tag", "put the value in quotes"}
	default:
		m.text = value.Value
	}
	return m
}

// parseJSON reads one JSON object. Numbers and booleans are taken as they are written.
func parseJSON(content []byte) ([]member, *fault) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil
	}
	r := jsonReader{json.NewDecoder(bytes.NewReader(content)), content}
	r.UseNumber()
	open, err := r.Token()
	if err == nil && open != json.Delim('{') {
		return nil, &fault{"not a JSON object", `write {"key": "value", …}`}
	}
	var members []member
	if err == nil {
		members, err = r.object()
	}
	if err != nil {
		return nil, &fault{fmt.Sprintf("not JSON: line %d: %s", r.line(), jsonMessage(err)), "correct the file there"}
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, &fault{fmt.Sprintf("text after the JSON object, in line %d", r.line()), "remove it"}
	}
	return members, nil
}

// jsonMessage puts an early end into words.
func jsonMessage(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends inside the object"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// jsonReader walks tokens, because decoding into a map would hide keys that stand twice.
type jsonReader struct {
	*json.Decoder
	content []byte
}

func (r jsonReader) line() int {
	return 1 + bytes.Count(r.content[:min(int(r.InputOffset()), len(r.content))], []byte("\n"))
}

// object reads members up to and with the closing brace.
func (r jsonReader) object() ([]member, error) {
	members := []member{}
	for r.More() {
		key, err := r.Token()
		if err != nil {
			return nil, err
		}
		m, err := r.value()
		if err != nil {
			return nil, err
		}
		m.key, _ = key.(string)
		members = append(members, m)
	}
	_, err := r.Token()
	return members, err
}

// value reads one value, of any kind.
func (r jsonReader) value() (member, error) {
	token, err := r.Token()
	m := member{line: r.line()}
	switch t := token.(type) {
	case nil:
		m.kind = null
	case json.Delim:
		if t == '{' {
			m.kind = nested
			m.members, err = r.object()
			break
		}
		m.kind = list
		err = r.array(&m)
	default:
		m.text = fmt.Sprint(t)
	}
	return m, err
}

// array reads a list's items up to and with the closing bracket.
func (r jsonReader) array(m *member) error {
	for r.More() {
		item, err := r.value()
		if err != nil {
			return err
		}
		if item.kind != scalar {
			m.fault = &fault{"a list of more than plain values", "list plain values only"}
		}
		m.items = append(m.items, item.text)
	}
	_, err := r.Token()
	return err
}

// parseProperties reads the format of java.util.Properties, in UTF-8. The file is cut into
// its logical lines first, so that a key that stands twice is seen; ${…} is left as it is.
func parseProperties(content []byte) ([]member, *fault) {
	var members []member
	for _, l := range logicalLines(string(content)) {
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		p, err := loader.LoadBytes([]byte(l.text))
		if err != nil {
			return nil, &fault{fmt.Sprintf("line %d is not key = value", l.number), `check escapes such as \u00e9`}
		}
		for _, key := range p.Keys() {
			value, _ := p.Get(key)
			members = append(members, member{key: key, line: l.number, text: value})
		}
	}
	return members, nil
}

type logicalLine struct {
	number int // of its first natural line, from 1
	text   string
}

// logicalLines cuts a .properties text: blank lines and comments (# or !) fall away,
// and a line that ends in an odd number of backslashes goes on in the next one.
func logicalLines(text string) []logicalLine {
	var lines []logicalLine
	continued := false
	for i, natural := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		trimmed := strings.TrimLeft(natural, " \t\f")
		switch {
		case continued:
			lines[len(lines)-1].text += "\n" + natural
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == '!':
			continue
		default:
			lines = append(lines, logicalLine{i + 1, natural})
		}
		backslashes := len(natural) - len(strings.TrimRight(natural, `\`))
		continued = backslashes%2 == 1
	}
	return lines
}
