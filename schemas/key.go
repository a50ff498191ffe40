package schemas

import (
	"encoding/binary"
	"errors"
)

// KeySchema gives the Avro schema of every record's key, compact: the record coupa.Key {string tenant; long id}. The
// tenant keeps rows of several Coupa instances apart where they share a topic.
func KeySchema() string {
	return `{"type":"record","name":"Key","namespace":"coupa","fields":[{"name":"tenant","type":"string"},{"name":"id","type":"long"}]}`
}

// AppendKey appends the Avro bytes of a coupa.Key. The same row always has the same bytes, and so the same partition.
func AppendKey(dst []byte, tenant string, id int64) []byte {
	// Avro's long is zigzag in base 128, which is what binary.AppendVarint writes.
	dst = binary.AppendVarint(dst, int64(len(tenant)))
	dst = append(dst, tenant...)
	return binary.AppendVarint(dst, id)
}

// AppendHeader appends what stands before the Avro bytes in the registry's framing: the magic byte 0 and the schema's id as
// four bytes, big-endian.
func AppendHeader(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// ParseKey reads the Avro bytes of a coupa.Key.
func ParseKey(b []byte) (tenant string, id int64, err error) {
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

var errNoKey = errors.New("these bytes are no coupa.Key")
