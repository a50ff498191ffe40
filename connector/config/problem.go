package config

import (
	"net/url"
	"regexp"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File string // the path as the user gave it; "" for a configuration that came over REST
	Key  string // "" when the problem is the file as a whole
	// as given, "[hidden]" for a secret; "" when showing it would not help or could reveal something
	Value   string
	Message string // what is wrong
	Remedy  string // what to do about it
}

// Error is one line: file: key = "value": message; remedy.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		if p.Value != "" {
			b.WriteString(` = "` + oneLine(p.Value) + `"`)
		}
		b.WriteString(": ")
	}
	b.WriteString(oneLine(p.Message))
	if p.Remedy != "" {
		b.WriteString("; " + oneLine(p.Remedy))
	}
	return b.String()
}

// Problems is everything that is wrong, as an error with one line per problem. It is never an
// empty, non-nil error: the functions of this package return nil when there is no problem.
type Problems []Problem

// Error joins the problems' lines.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil turns no problems into a nil error.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// touch tells whether any of the keys already has a problem: checks across keys are only
// run on values that are right by themselves, so that one mistake is reported once.
func (ps Problems) touch(keys ...string) bool {
	for _, p := range ps {
		for _, k := range keys {
			if p.Key == k {
				return true
			}
		}
	}
	return false
}

// hidden stands for a secret wherever one would be shown.
const hidden = "[hidden]"

// veiled is a value without what is nobody's business: references stay references, plain secrets
// are hidden, and of a webhook's address what follows the host, by which many know who may post.
func veiled(k Key, raw string) string {
	switch {
	case raw == "" || onlyReferences(raw):
	case k.Secret():
		return hidden
	case k.Name == webhookURLKey:
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || hasReference(raw) {
			return hidden
		}
		host := u.Scheme + "://" + u.Host
		if strings.TrimPrefix(raw, host) != "" {
			return host + "/" + hidden
		}
	}
	return raw
}

// shown is the form in which a value may stand in a problem: veiled,
// without a password in a URL, and cut where it is over 200 bytes long.
func shown(k Key, raw string) string {
	raw = veiled(k, raw)
	raw = regexp.MustCompile(`//[^/@\s]*@`).ReplaceAllString(raw, "//"+hidden+"@")
	if len(raw) > 200 {
		raw = strings.ToValidUTF8(raw[:200], "") + "…"
	}
	return raw
}

// oneLine keeps line breaks and other control characters out of messages.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
