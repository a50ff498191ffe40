package configtopic

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Verified is what a comparison of an object with Coupa found last. Instants are in whole seconds, UTC.
type Verified struct {
	At           time.Time // when it was told
	Since, Until time.Time // rows stamped then were compared; no Since: from the beginning
	Rows         int64
	Requested    int64            // records that are there once more since somebody asked for them
	Found        map[string]int64 // differences by kind; nil: none
	// Without a difference since then, what is stamped from ProvenFrom until ProvenUntil was found the same
	// in Coupa and in the topic; no ProvenFrom: from the beginning. No ProvenUntil: nothing is proven.
	ProvenFrom, ProvenUntil time.Time
}

// verifiedJSON is one as it stands in the topic.
type verifiedJSON struct {
	At          string           `json:"at"`
	Since       string           `json:"since,omitempty"`
	Until       string           `json:"until"`
	Rows        int64            `json:"rows"`
	Requested   int64            `json:"requested,omitempty"`
	Found       map[string]int64 `json:"found,omitempty"`
	ProvenFrom  string           `json:"proven_from,omitempty"`
	ProvenUntil string           `json:"proven_until,omitempty"`
}

func verifiedForm(all map[string]Verified) map[string]verifiedJSON {
	text := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	forms := make(map[string]verifiedJSON, len(all))
	for object, v := range all {
		forms[object] = verifiedJSON{text(v.At), text(v.Since), text(v.Until), v.Rows, v.Requested, v.Found, text(v.ProvenFrom), text(v.ProvenUntil)}
	}
	return forms
}

func verifiedOf(raw json.RawMessage) (map[string]Verified, error) {
	var forms map[string]verifiedJSON
	if json.Unmarshal(raw, &forms) != nil || forms == nil {
		return nil, errors.New("objects is not what it is in a record of comparisons")
	}
	all := make(map[string]Verified, len(forms))
	for object, f := range forms {
		v := Verified{Rows: f.Rows, Requested: f.Requested}
		if len(f.Found) > 0 {
			v.Found = f.Found
		}
		for text, to := range map[*string]*time.Time{&f.At: &v.At, &f.Since: &v.Since, &f.Until: &v.Until, &f.ProvenFrom: &v.ProvenFrom, &f.ProvenUntil: &v.ProvenUntil} {
			if *text == "" {
				continue
			}
			t, err := time.Parse(time.RFC3339, *text)
			if t = t.UTC().Truncate(time.Second); err != nil || t.Year() < 1 || t.Year() > 9999 {
				return nil, fmt.Errorf("an instant of object %q is none", object)
			}
			*to = t
		}
		all[object] = v
	}
	return all, nil
}

// PutVerified says what was found last of a connector's objects.
func PutVerified(name string, objects map[string]Verified) Change {
	return Change{[]entry{{kind: verified, name: name, verified: objects}}}
}
