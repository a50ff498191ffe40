package coupa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// MarkExported sets the exported flag of a row, as "Exported" of Coupa's API documents it: a PUT of its own
// with no body, which changes nothing else. A row that has the flag keeps it, so that the request may be
// repeated. Whether it moves the row's updated-at is not documented.
//
// Scope says that the API client may read the object and not write it; Misconfigured that Coupa does not take
// the mark of this row, or that there is no such row.
func (c *Client) MarkExported(ctx context.Context, path string, id int64) error {
	op := fmt.Sprintf("marking id %d of %s as exported", id, path)
	a := ask{op: op, method: http.MethodPut, object: path, path: path + "/" + strconv.FormatInt(id, 10), priority: PriorityBackfill}
	fields := url.Values{"fields": {`["id","exported"]`}}
	switch r, _ := LookupResource(path); r.Export {
	case ExportFlag:
		fields.Set("exported", "true")
	case ExportAction:
		a.path += "/export"
	default:
		return misused(op, "Coupa has no operation that sets the exported flag of %s", path)
	}
	a.query = fields.Encode()
	a.line = c.lineOf(a.path, len(a.query))
	res, err := c.get(ctx, a)
	if err != nil {
		return c.unmarked(err, path)
	}
	defer res.close()
	var row struct {
		Exported *bool `json:"exported"`
	}
	switch err := json.Unmarshal(res.start(), &row); {
	case err != nil:
		return &Error{Op: op, Kind: Retry, Err: errors.New("Coupa sent something else than the row")}
	case row.Exported != nil && !*row.Exported:
		return broken(op, "Coupa answered well, and the row is not marked")
	}
	return nil
}

// unmarked makes of a failed request what it means for a mark; nil: it was done, and the answer is
// one that holds no row.
func (c *Client) unmarked(err error, path string) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
	case e.Status/100 == 2 && e.Kind == Broken:
		return nil
	case e.Kind == Scope:
		scopes := strings.Join(WriteScopes([]string{path}), " ")
		e.Err = fmt.Errorf("the API client may not change %s: scope %s is missing", path, scopes)
		e.Hint = fmt.Sprintf("grant %s at %s (and name it in coupa.scope, where that is given), or write exported.mode = filter", scopes, c.clientsPage())
	case e.Kind == Misconfigured:
		e.Hint = "see in Coupa why the row can't be saved, or mark it there"
	}
	return err
}

// IsExported tells whether the row shows that it has the exported flag. It parses the row.
func (r Row) IsExported() bool {
	var flag struct {
		Exported bool `json:"exported"`
	}
	return json.Unmarshal(r.JSON, &flag) == nil && flag.Exported
}
