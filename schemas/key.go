package schemas

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/coupastream/coupastream/schemas/internal/jsonschema"
)

// KeySchema gives the Avro schema of every record's key, compact: the record coupa.Key {string
// tenant; long id}. The tenant keeps rows of several Coupa instances apart where they share a topic.
func KeySchema() string {
	return `{"type":"record","name":"Key","namespace":"coupa","fields":[{"name":"tenant","type":"string"},{"name":"id","type":"long"}]}`
}

// KeyJSONSchema gives the JSON Schema of every record's key where
// values are JSON too: of what AppendJSONKey writes.
func KeyJSONSchema() string {
	return `{"$schema":"` + jsonschema.Dialect + `","title":"Key","type":"object",` +
		`"properties":{"tenant":{"type":"string"},"id":{"type":"integer"}},"required":["tenant","id"],"additionalProperties":false}`
}

// AppendKey appends the Avro bytes of a coupa.Key. The same
// row always has the same bytes, and so the same partition.
func AppendKey(dst []byte, tenant string, id int64) []byte {
	// Avro's long is zigzag in base 128, which is what binary.AppendVarint writes.
	dst = binary.AppendVarint(dst, int64(len(tenant)))
	dst = append(dst, tenant...)
	return binary.AppendVarint(dst, id)
}

// AppendJSONKey appends the key as JSON: {"tenant":"acme","id":123},
// without white space and in this order, for the same reason.
func AppendJSONKey(dst []byte, tenant string, id int64) []byte {
	dst = append(appendQuoted(append(dst, `{"tenant":`...), []byte(tenant)), `,"id":`...)
	return append(strconv.AppendInt(dst, id, 10), '}')
}

// AppendHeader appends what stands before the Avro bytes in the registry's
// framing: the magic byte 0 and the schema's id as four bytes, big-endian.
func AppendHeader(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// ParseKey reads a record's key as it stands in a topic: Avro or JSON behind the registry's framing, or
// JSON alone. Avro never begins with a brace, which would be a negative length of the tenant's name.
func ParseKey(b []byte) (tenant string, id int64, err error) {
	const framing = 5
	switch {
	case len(b) > 0 && b[0] == '{':
		return parseJSONKey(b)
	case len(b) <= framing || b[0] != 0:
		return "", 0, errNoKey
	case b[framing] == '{':
		return parseJSONKey(b[framing:])
	}
	return parseAvroKey(b[framing:])
}

func parseJSONKey(b []byte) (tenant string, id int64, err error) {
	var key struct {
		Tenant *string `json:"tenant"`
		ID     *int64  `json:"id"`
	}
	if json.Unmarshal(b, &key) != nil || key.Tenant == nil || key.ID == nil {
		return "", 0, errNoKey
	}
	return *key.Tenant, *key.ID, nil
}

func parseAvroKey(b []byte) (tenant string, id int64, err error) {
	n, read := binary.Varint(b)
	if read <= 0 || n < 0 || n > int64(len(b)-read) {
		return "", 0, errNoKey
	}
	tenant, b = string(b[read:read+int(n)]), b[read+int(n):]
	id, read = binary.Varint(b)
	if read <= 0 || read != len(b) {
		return "", 0, errNoKey
	}
	return tenant, id, nil
}

var errNoKey = errors.New("the key is no coupa.Key in the registry's framing, nor the same in JSON")
