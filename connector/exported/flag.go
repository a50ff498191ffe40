package exported

import (
	"context"
	"errors"
	"net/url"

	"github.com/coupastream/coupastream/coupa"
)

// Unset is the condition that rows do not have the flag.
func Unset() url.Values { return url.Values{"exported": {"false"}} }

// heedTries is how often a row must show both values of the flag before the condition counts as ignored:
// it may have been marked between two requests.
const heedTries = 3

// Heeds makes sure that Coupa heeds a condition on the flag: one that is ignored would publish all rows, and
// nothing in the answers would show it. It takes two requests of a row each. The error is an [coupa.Error].
func Heeds(ctx context.Context, source interface {
	MaxID(context.Context, coupa.Query) (int64, error)
}, path string) error {
	for range heedTries {
		id, err := source.MaxID(ctx, coupa.Query{Path: path, Filter: Unset()})
		if err != nil || id == 0 {
			return err
		}
		again, err := source.MaxID(ctx, coupa.Query{Path: path, Filter: url.Values{"exported": {"true"}}, IDs: []int64{id}, Limit: 1})
		if err != nil || again == 0 {
			return err
		}
	}
	return &coupa.Error{
		Op: "reading " + path + " that are not exported", Kind: coupa.Broken,
		Err:  errors.New("Coupa shows one row both with the exported flag and without: it ignores conditions on it"),
		Hint: "write exported.mode = off for " + path,
	}
}
