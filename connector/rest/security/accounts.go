package security

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/config"
)

// accounts is the content of an accounts file.
type accounts struct {
	users        map[string]user
	tokens       []token
	certificates map[string]Role
	decoy        passwordHash // of no user; costs what the users' hashes do
}

type user struct {
	hash passwordHash
	role Role
}

type token struct {
	name string
	hash tokenHash
	role Role
}

// accountsFile is the form of the file.
type accountsFile struct {
	Users map[string]struct {
		Password string `yaml:"password"`
		Role     Role   `yaml:"role"`
	} `yaml:"users"`
	Tokens map[string]struct {
		SHA256 string `yaml:"sha256"`
		Role   Role   `yaml:"role"`
	} `yaml:"tokens"`
	Certificates map[string]struct {
		Role Role `yaml:"role"`
	} `yaml:"certificates"`
}

const (
	accountsKey    = "rest.auth.file"
	mostAccounts   = 1 << 20 // bytes of the file
	accountsRemedy = "see coupastream hash-password --help for the form of the file"
)

// loadAccounts reads a file. The error is config.Problems; what the file
// holds is in none of them, but for the names of accounts and keys.
func loadAccounts(path string) (*accounts, error) {
	problem := func(message, remedy string) error {
		return config.Problems{{Key: accountsKey, Value: path, Message: message, Remedy: remedy}}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, problem("cannot be read: "+cause(err), "give a file that the user who runs coupastream may read")
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostAccounts+1))
	if err != nil || len(text) > mostAccounts {
		return nil, problem("cannot be read, or has more than a megabyte", "is it the right one?")
	}
	var form accountsFile
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&form); err != nil {
		where := "" // what the decoder says repeats values
		if line := regexp.MustCompile(`line \d+`).FindString(err.Error()); line != "" {
			where = " (" + line + ")"
		}
		return nil, problem("is not an accounts file"+where, accountsRemedy)
	}
	a, problems := form.accounts(path)
	if len(problems) > 0 {
		return nil, problems
	}
	return a, nil
}

// accounts checks the entries.
func (f accountsFile) accounts(path string) (*accounts, config.Problems) {
	a := &accounts{users: map[string]user{}, certificates: map[string]Role{}}
	var problems config.Problems
	check := func(entry string, role Role, err error) {
		message, remedy := "", accountsRemedy
		switch {
		case !role.IsRole():
			message, remedy = ": role is none of read-only, admin and hook", "give one of these"
		case err != nil:
			message = ": " + err.Error()
		default:
			return
		}
		problems = append(problems, config.Problem{Key: accountsKey, Value: path, Message: entry + message, Remedy: remedy})
	}
	for _, name := range slices.Sorted(maps.Keys(f.Users)) {
		hash, err := parseHash(f.Users[name].Password)
		if err != nil {
			err = fmt.Errorf("password %w", err)
		}
		check("users."+name, f.Users[name].Role, err)
		a.users[name] = user{hash, f.Users[name].Role}
		a.decoy = hash
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tokens)) {
		hash, err := parseToken(f.Tokens[name].SHA256)
		if err != nil {
			err = fmt.Errorf("sha256 %w", err)
		}
		check("tokens."+name, f.Tokens[name].Role, err)
		a.tokens = append(a.tokens, token{name, hash, f.Tokens[name].Role})
	}
	for name, c := range f.Certificates {
		check("certificates."+name, c.Role, nil)
		a.certificates[name] = c.Role
	}
	if len(a.users)+len(a.tokens)+len(a.certificates) == 0 {
		problems = append(problems, config.Problem{Key: accountsKey, Value: path, Message: "has no account", Remedy: accountsRemedy})
	}
	return a, problems
}

// password looks a user up. It takes as long for a user that there is not.
func (a *accounts) password(name, password string) (Caller, bool) {
	u, known := a.users[name]
	if !known {
		u.hash = a.decoy
	}
	if len(a.users) == 0 || !u.hash.matches(password) || !known {
		return Caller{}, false
	}
	return Caller{name, u.role}, true
}

// token looks a token up; all of them are compared, each in constant time.
func (a *accounts) token(text string) (Caller, bool) {
	hash := sha256.Sum256([]byte(text))
	caller, found := Caller{}, false
	for _, t := range a.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
			caller, found = Caller{t.name, t.role}, true
		}
	}
	return caller, found
}

// certificate looks up who a certificate was made for: its common name, DNS
// names and URIs. Of several that are listed the one that may do least counts.
func (a *accounts) certificate(c *x509.Certificate) (Caller, bool) {
	names := append([]string{c.Subject.CommonName}, c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	caller, found := Caller{}, false
	for _, name := range names {
		if role, listed := a.certificates[name]; listed && (!found || slices.Index(roles, role) < slices.Index(roles, caller.Role)) {
			caller, found = Caller{name, role}, true
		}
	}
	return caller, found
}

// cause is a file's error without the path, which the problem has.
func cause(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
