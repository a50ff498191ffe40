package rowtext

import (
	"errors"
	"fmt"
)

// FieldError says which field of a row cannot be encoded and why. It names the field and
// never prints its value, so it may be logged. The row it speaks of was not encoded at all.
type FieldError struct {
	// Path leads to the field in Coupa's names, "invoice-lines[2].price"; indexes count
	// from 0 as the row lists them. It is empty where the row as a whole is at fault.
	Path string
	// Err is the reason, *SyntaxError where the row is not JSON.
	Err error
}

func (f *FieldError) Error() string {
	if f.Path == "" {
		return "encoding row: " + f.Err.Error()
	}
	return "encoding field " + f.Path + ": " + f.Err.Error()
}

// Unwrap gives the reason.
func (f *FieldError) Unwrap() error { return f.Err }

// SyntaxError says where a row stops being JSON (RFC 8259),
// or where it nests deeper than the encoder follows.
type SyntaxError struct {
	Offset int    // in bytes from the row's start
	Reason string // what was expected or found there, without the text itself
}

func (s *SyntaxError) Error() string {
	return fmt.Sprintf("malformed JSON at byte %d: %s", s.Offset, s.Reason)
}

// InField puts key before the path of err. Paths grow from the
// inside out, on failure alone, so that success pays nothing.
func InField(key string, err error) error {
	f := AsFieldError(err)
	switch {
	case f.Path == "", f.Path[0] == '[':
		f.Path = key + f.Path
	default:
		f.Path = key + "." + f.Path
	}
	return f
}

// InElement puts an array index before the path of err.
func InElement(index int, err error) error {
	f := AsFieldError(err)
	prefix := fmt.Sprintf("[%d]", index)
	if f.Path != "" && f.Path[0] != '[' {
		prefix += "."
	}
	f.Path = prefix + f.Path
	return f
}

// AsFieldError gives err as the *FieldError that the caller may extend.
func AsFieldError(err error) *FieldError {
	var f *FieldError
	if errors.As(err, &f) {
		return f
	}
	return &FieldError{Err: err}
}
