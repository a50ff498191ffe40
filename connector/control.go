package connector

import (
	"errors"
	"fmt"

	"github.com/coupastream/coupastream/connector/status"
)

// What a request to a worker can meet.
var (
	ErrUnknownConnector = errors.New("there is no such connector")
	ErrUnknownTask      = errors.New("there is no such task")
	ErrConnectorExists  = errors.New("the connector exists already")
	// ErrFromFile: the connector is defined by a file that the worker
	// was started with, and its configuration is changed there.
	ErrFromFile = errors.New("the connector is defined by a file of the worker; change the file and restart the worker")
	// ErrNotStopped: what was asked for needs a connector in the state STOPPED.
	ErrNotStopped = errors.New("the connector is not in the STOPPED state")
	// ErrStarting: the worker has not read the config topic yet, or is not a member of its group yet.
	ErrStarting        = errors.New("the worker is still starting up")
	ErrUnknownSnapshot = errors.New("there is no such snapshot")
	// ErrNoDoorbell: the connector has no such object, or it is read whole, which nothing hastens.
	ErrNoDoorbell = errors.New("the connector has no such object that is polled")
)

// RestartRequest says what to restart of a connector.
type RestartRequest struct {
	Task         *int // this task alone; the others do not count then
	IncludeTasks bool // the tasks too, and not only the connector
	OnlyFailed   bool // of these, what is FAILED
}

// NotOwnerError says that another worker runs the connector's tasks and has to be asked.
type NotOwnerError struct{ Owner status.Owner }

func (e *NotOwnerError) Error() string {
	if e.Owner == (status.Owner{}) {
		return "no worker of the group runs the connector now"
	}
	return fmt.Sprintf("worker %s runs the connector", e.Owner.WorkerID)
}
