package schematext

import "crypto/sha256"

// DigestSize is the length of a Digest.
const DigestSize = sha256.Size

// Digest tells texts apart. It makes no copy of a text, as the conversion to bytes would: a thousand
// tenants that begin at once ask of texts of a hundred kilobytes.
func Digest(text string) (sum [DigestSize]byte) {
	h, part := sha256.New(), make([]byte, 4<<10)
	for len(text) > 0 {
		n := copy(part, text)
		h.Write(part[:n])
		text = text[n:]
	}
	h.Sum(sum[:0])
	return sum
}
