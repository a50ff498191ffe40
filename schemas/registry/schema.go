package registry

import (
	"context"
	"fmt"
)

const readByID step = "reading a schema by its id"

// Schema gives the text of the schema that has an id. It is asked for
// anew each time. The error is an *Error, or that of ctx.
func (r *Client) Schema(ctx context.Context, id int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	found, err := r.client.SchemaByID(ctx, id)
	return found.Schema, explain(fmt.Sprintf("id %d", id), readByID, err)
}
