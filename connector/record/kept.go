package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/coupastream/coupastream/schemas/custom"
)

// keptCustom is the content of the file that keeps how the custom fields of an object's records
// in a topic are typed, for starts without the registry. It holds names and types, no values, and is of
// all tenants that share the topic, as the schema is: a thousand of them would else write a thousand
// files. The registry's word counts where it can be heard and has anything of the topic.
type keptCustom struct {
	Object string         `json:"object"`
	Topic  string         `json:"topic"`
	Typed  bool           `json:"typed"`
	Fields *custom.Fields `json:"fields,omitempty"`
}

// keptFile is named by a digest: topics' names may be too long with the object's behind them.
func (m *Maker) keptFile() string {
	sum := sha256.Sum256([]byte(m.Object.Topic + "\x00" + m.Stream.Object))
	return filepath.Join(m.Dir, hex.EncodeToString(sum[:16])+".json")
}

// keepFields keeps them; nil: as a map. A file that can't be written, or was broken by a
// crash (on Windows alone), costs the next start without a registry, and nothing else.
// What the file holds already is not written again.
func (m *Maker) keepFields(fields *custom.Fields) {
	if m.Dir == "" || m.Object.CustomFields != "typed" && m.Object.CustomFields != "auto" {
		return
	}
	kept := keptCustom{Object: m.Stream.Object, Topic: m.Object.Topic, Typed: fields != nil, Fields: fields}
	text, err := json.MarshalIndent(kept, "", "  ")
	if there, _ := os.ReadFile(m.keptFile()); err == nil && bytes.Equal(there, text) {
		return
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.keptFile()), 0o700)
	}
	if err == nil {
		err = maybe.WriteFile(m.keptFile(), text, 0o600)
	}
	if err != nil {
		m.Log.Warn("the custom fields' types can't be kept; without the registry the next start will wait for it", "error", err)
	}
}

// keptFields gives what keepFields kept; false if there is nothing of use.
func (m *Maker) keptFields() (keptCustom, bool) {
	if m.Dir == "" {
		return keptCustom{}, false
	}
	text, err := os.ReadFile(m.keptFile())
	if errors.Is(err, fs.ErrNotExist) {
		return keptCustom{}, false
	}
	var kept keptCustom
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		m.Log.Warn("the custom fields' types kept from earlier can't be read", "error", err)
		return keptCustom{}, false
	}
	if kept.Typed && kept.Fields == nil {
		kept.Fields = new(custom.Fields)
	}
	return kept, kept.Object == m.Stream.Object && kept.Topic == m.Object.Topic
}
