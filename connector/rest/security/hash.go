package security

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// argonParameters are the cost of a hash, in the names of RFC 9106: memory in KiB, passes, lanes.
type argonParameters struct {
	memory, time uint32
	threads      uint8
}

// newHashes is what OWASP's cheat sheet on password storage asks for.
var newHashes = argonParameters{memory: 19 * 1024, time: 2, threads: 1}

// Bounds of hashes that are taken: each attempt to log in costs that much.
const (
	mostMemory  = 256 * 1024 // KiB
	mostPasses  = 16
	mostBcrypt  = 16 // a second or two
	saltBytes   = 16
	argonLength = 32
)

// HashPassword gives the hash of a password as it stands in the accounts
// file: argon2id in the form of the PHC, with a salt of its own.
func HashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	hash := newHashes.hash(password, salt, argonLength)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, newHashes.memory, newHashes.time, newHashes.threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash))
}

// NewToken makes a bearer token, and its hash as it stands in the accounts file.
func NewToken() (token, hash string) {
	token = "cs_" + rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(token))
	return token, hex.EncodeToString(sum[:])
}

func (p argonParameters) hash(password string, salt []byte, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, length)
}

// passwordHash is a hash of the accounts file: argon2id or bcrypt.
type passwordHash struct {
	bcrypt     []byte
	parameters argonParameters
	salt, hash []byte
}

var errHash = errors.New("is not a bcrypt or argon2id hash")

// parseHash reads a hash, and refuses one that would take the worker's memory or
// time for each attempt. The error never holds the text: it may be a password.
func parseHash(text string) (passwordHash, error) {
	switch {
	case strings.HasPrefix(text, "$2"):
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil {
			return passwordHash{}, errHash
		}
		if cost > mostBcrypt {
			return passwordHash{}, fmt.Errorf("has a cost of %d; %d is the most", cost, mostBcrypt)
		}
		return passwordHash{bcrypt: []byte(text)}, nil
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	}
	return passwordHash{}, errHash
}

func parseArgon(text string) (passwordHash, error) {
	var h passwordHash
	parts := strings.Split(text, "$") // "", argon2id, v=19, m=…,t=…,p=…, salt, hash
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	p := &h.parameters
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return h, errHash
	}
	if p.memory > mostMemory || p.time > mostPasses {
		return h, fmt.Errorf("costs m=%d,t=%d; m=%d,t=%d is the most", p.memory, p.time, mostMemory, mostPasses)
	}
	var saltErr, hashErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.hash, hashErr = base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || hashErr != nil || len(h.salt) < 8 || len(h.hash) < 16 || p.time == 0 || p.threads == 0 || p.memory < 8*uint32(p.threads) {
		return passwordHash{}, errHash
	}
	return h, nil
}

// matches compares in constant time, and takes as long as the hash is meant to.
func (h passwordHash) matches(password string) bool {
	if h.bcrypt != nil {
		return bcrypt.CompareHashAndPassword(h.bcrypt, []byte(password)) == nil
	}
	return subtle.ConstantTimeCompare(h.hash, h.parameters.hash(password, h.salt, uint32(len(h.hash)))) == 1
}

// tokenHash is the SHA-256 of a bearer token. Tokens are random, so that nothing slower is needed.
type tokenHash [sha256.Size]byte

func parseToken(text string) (tokenHash, error) {
	var h tokenHash
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(h) {
		return h, errors.New("is not a SHA-256 in hexadecimal")
	}
	return tokenHash(raw), nil
}
