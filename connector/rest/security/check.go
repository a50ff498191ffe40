package security

import (
	"errors"
	"net/url"

	"github.com/coupastream/coupastream/connector/config"
)

// Check reads the files that the listeners of a worker need,
// as Listen and New do. The error is config.Problems.
func Check(settings *config.Worker) error {
	var problems config.Problems
	var one config.Problem
	if _, err := loadIdentity(settings); errors.As(err, &one) {
		one.File = settings.File
		problems = append(problems, one)
	}
	if settings.AuthFile != "" {
		var several config.Problems
		if _, err := loadAccounts(settings.AuthFile); errors.As(err, &several) {
			for _, p := range several {
				p.File = settings.File
				problems = append(problems, p)
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// Advice is what may be a mistake in how a worker is reached, and is not for the program to decide.
func Advice(settings *config.Worker) config.Problems {
	var advice config.Problems
	for _, l := range settings.Listeners {
		u, err := url.Parse(l)
		if err != nil || config.LocalListener(l) {
			continue
		}
		certificate := u.Scheme == "https" && settings.ListenerClientAuth == "required"
		switch {
		case settings.AuthFile == "" && !certificate:
			advice = append(advice, config.Problem{File: settings.File, Key: "listeners", Value: l, Message: "everybody who reaches this address may read and change everything",
				Remedy: "set rest.auth.file, or listeners.https.ssl.client.auth = required, or listen on 127.0.0.1"})
		case settings.AuthFile != "" && u.Scheme == "http":
			advice = append(advice, config.Problem{File: settings.File, Key: "listeners", Value: l, Message: "passwords and tokens travel in clear to this address",
				Remedy: "use https://, or listen on 127.0.0.1 behind a proxy that does"})
		}
	}
	return advice
}
