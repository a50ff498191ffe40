package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/shard"
)

// apiError is an error as Connect writes it.
type apiError struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Message }

// refusal is what Connect's web framework answers by itself.
func refusal(status int) *apiError {
	return &apiError{status, fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))}
}

// Connect's wordings for a connector that there is not; which one depends on the path.
const (
	notFound     = "Connector %s not found"
	noStatus     = "No status found for connector %s"
	unknown      = "Unknown connector %s"
	unknownColon = "Unknown connector: %s"
)

// conflict is what Connect says of a request that may not be passed on.
const conflict = "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"

// noOwner is what Connect says while nobody can be asked.
const noOwner = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway."

const notStopped = "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a " +
	"'PUT' request to the '/connectors/%s/stop' endpoint"

// ofRequest is what a worker finds wrong with what is asked for, where that is no configuration.
func ofRequest(err error) error {
	if problems, invalid := errors.AsType[config.Problems](err); invalid {
		return bad("%v", problems)
	}
	return err
}

// failed turns a worker's error about a connector into Connect's.
// missing is the path's wording for a connector that there is not.
func (a *API) failed(err error, name, missing string) error {
	if e, known := errors.AsType[*apiError](err); known {
		return e
	}
	problems, invalid := errors.AsType[config.Problems](err)
	if problem, single := errors.AsType[config.Problem](err); single {
		problems, invalid = config.Problems{problem}, true
	}
	_, elsewhere := errors.AsType[*connector.NotOwnerError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, connector.ErrUnknownConnector):
		// nobody shall take what is not read yet for gone
		if errors.Is(a.reader.Ready(), connector.ErrStarting) {
			return starting
		}
		return &apiError{http.StatusNotFound, fmt.Sprintf(missing, name)}
	case errors.Is(err, connector.ErrConnectorExists):
		return &apiError{http.StatusConflict, fmt.Sprintf("Connector %s already exists", name)}
	case errors.Is(err, connector.ErrFromFile):
		return &apiError{http.StatusConflict, fmt.Sprintf("Connector %s is defined by a file of the worker; change the file and restart the worker", name)}
	case errors.Is(err, connector.ErrNotStopped):
		return &apiError{http.StatusBadRequest, fmt.Sprintf(notStopped, name)}
	case errors.Is(err, shard.ErrBusy) && err != shard.ErrBusy: // it says what is busy
		return &apiError{http.StatusConflict, "Cannot complete request momentarily: " + err.Error()}
	case errors.Is(err, shard.ErrBusy):
		return &apiError{http.StatusConflict, "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)"}
	case errors.Is(err, connector.ErrStarting):
		return starting
	case elsewhere:
		return &apiError{http.StatusConflict, noOwner}
	case invalid:
		return invalidConfig(problems, nil)
	case errors.Is(err, context.DeadlineExceeded):
		return &apiError{http.StatusInternalServerError, "Request timed out. Kafka did not answer the worker; whether the change is made shows when it does."}
	}
	return &apiError{http.StatusInternalServerError, err.Error()}
}

var starting = &apiError{http.StatusServiceUnavailable, "Worker is still starting up."}

// invalidConfig lists problems as Connect does. given is the configuration that they are of.
func invalidConfig(problems config.Problems, given map[string]string) *apiError {
	var b strings.Builder
	fmt.Fprintf(&b, "Connector configuration is invalid and contains the following %d error(s):", len(problems))
	for _, p := range problems {
		b.WriteString("\n" + wording(p, given))
	}
	b.WriteString("\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`")
	return &apiError{http.StatusBadRequest, b.String()}
}

// wording is a problem in Connect's words, with our remedy.
func wording(p config.Problem, given map[string]string) string {
	k, declared := config.LookupConnectorKey(p.Key)
	_, isGiven := given[p.Key]
	said := p.Message
	if p.Remedy != "" {
		said += "; " + p.Remedy
	}
	switch {
	case p.Key == "":
		return said
	case declared && k.Required && given != nil && !isGiven:
		return fmt.Sprintf("Missing required configuration %q which has no default value.", p.Key)
	case !declared:
		return fmt.Sprintf("Invalid configuration %s: %s", p.Key, said)
	}
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", p.Value, p.Key, said)
}
