package connector

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/coupastream/coupastream/schemas"
)

// keptCustom is the content of the file that keeps how an object's custom
// fields are typed, for starts without the registry. It holds names and
// types, no values. The registry's word counts where it can be heard.
type keptCustom struct {
	Tenant string                `json:"tenant"`
	Object string                `json:"object"`
	Typed  bool                  `json:"typed"`
	Fields *schemas.CustomFields `json:"fields,omitempty"`
}

// keptFile is named by a digest: tenants' names may hold what a file's can't.
func (p *poller) keptFile() string {
	sum := sha256.Sum256([]byte(p.stream.Tenant + "\x00" + p.stream.Object))
	return filepath.Join(p.shard.w.settings.StateDir, p.shard.w.settings.GroupID, "custom-fields", hex.EncodeToString(sum[:16])+".json")
}

// keepFields keeps them; nil: as a map. A file that can't be written, or was broken by a
// crash (on Windows alone), costs the next start without a registry, and nothing else.
func (p *poller) keepFields(fields *schemas.CustomFields) {
	if p.object.CustomFields != "typed" && p.object.CustomFields != "auto" {
		return
	}
	kept := keptCustom{Tenant: p.stream.Tenant, Object: p.stream.Object, Typed: fields != nil, Fields: fields}
	text, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.keptFile()), 0o700)
	}
	if err == nil {
		err = maybe.WriteFile(p.keptFile(), text, 0o600)
	}
	if err != nil {
		p.log.Warn("the custom fields' types can't be kept; without the registry the next start will wait for it", "error", err)
	}
}

// keptFields gives what keepFields kept; false if there is nothing of use.
func (p *poller) keptFields() (keptCustom, bool) {
	text, err := os.ReadFile(p.keptFile())
	if errors.Is(err, fs.ErrNotExist) {
		return keptCustom{}, false
	}
	var kept keptCustom
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		p.log.Warn("the custom fields' types kept from earlier can't be read", "error", err)
		return keptCustom{}, false
	}
	if kept.Typed && kept.Fields == nil {
		kept.Fields = new(schemas.CustomFields)
	}
	return kept, kept.Tenant == p.stream.Tenant && kept.Object == p.stream.Object
}
