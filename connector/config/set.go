package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// This file holds the ways in which a value fills a field: each gives the set function of a setting.
// The checks get and return plain values; what they say never repeats a value that may be secret.

// text stores the value as it is.
func text[T any](field func(*T) *string, checks ...func(string) *fault) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		for _, check := range checks {
			if f := check(value); f != nil && value != "" {
				return f
			}
		}
		*field(into) = value
		return nil
	}
}

// secret stores the value where it won't be printed.
func secret[T any](field func(*T) *coupa.Secret) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		*field(into) = coupa.Secret(value)
		return nil
	}
}

// named stores one of a closed set of values in a string type of its own.
func named[T any, S ~string](field func(*T) *S) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		*field(into) = S(value)
		return nil
	}
}

// texts stores a comma separated list of at least one entry, each trimmed and checked.
func texts[T any](field func(*T) *[]string, check func(string) *fault) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		var entries []string
		for entry := range strings.SplitSeq(value, ",") {
			entry = strings.TrimSpace(entry)
			if entry == "" {
				return &fault{"has an empty entry", "write one comma between two entries"}
			}
			if f := check(entry); f != nil {
				return f
			}
			entries = append(entries, entry)
		}
		*field(into) = entries
		return nil
	}
}

// whole stores a whole number from low to high.
func whole[T any](field func(*T) *int, low, high int) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		n, err := strconv.Atoi(value)
		if err != nil {
			return &fault{"not a whole number", fmt.Sprintf("give one from %d to %d", low, high)}
		}
		if n < low || n > high {
			return &fault{fmt.Sprintf("not from %d to %d", low, high), "give a number in that range"}
		}
		*field(into) = n
		return nil
	}
}

// partitions stores a count of at least one, or -1 for the broker's default, as Kafka's CreateTopics has it.
func partitions[T any](field func(*T) *int, high int) func(*T, string) *fault {
	inRange := whole(field, -1, high)
	return func(into *T, value string) *fault {
		if value == "0" {
			return &fault{"zero makes no topic", "give at least 1, or -1 for the broker's default"}
		}
		return inRange(into, value)
	}
}

// maxMillis bounds durations to a hundred years, far inside time.Duration.
const maxMillis = 100 * 365 * 24 * 3600 * 1000

// millis stores a duration given as a whole number of milliseconds.
func millis[T any](field func(*T) *time.Duration, low int64) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) && n > 0 || n > maxMillis:
			return &fault{"more than a hundred years", "give a number of milliseconds"}
		case err != nil:
			return &fault{"not a number of milliseconds", "give " + meantMillis(value)}
		case n < low:
			return &fault{fmt.Sprintf("less than %d", low), fmt.Sprintf("give at least %d, in milliseconds", low)}
		}
		*field(into) = time.Duration(n) * time.Millisecond
		return nil
	}
}

// aWholeNumber is any; in its place the key's own example is shown.
const aWholeNumber = "a whole number"

// meantMillis translates what was meant, when it was written as Go writes durations.
func meantMillis(value string) string {
	if d, err := time.ParseDuration(strings.ReplaceAll(value, " ", "")); err == nil && d > 0 {
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	return aWholeNumber
}

// rate stores a number of requests a second; 0, where it may be, is no limit.
func rate[T any](field func(*T) *float64, zero bool) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
			remedy := "give a number, e.g. 15"
			if zero {
				remedy += ", or 0 for no limit"
			}
			return &fault{"not a number of requests a second", remedy}
		}
		if n < 0.001 && (n > 0 || !zero) {
			return &fault{"less than a request in 1000 seconds", "give at least 0.001; a connector that is to ask for nothing is PAUSED"}
		}
		*field(into) = n
		return nil
	}
}

// orAuto notes that auto was given, or stores a number.
func orAuto[T any](auto func(*T) *bool, set func(*T, string) *fault) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		if *auto(into) = strings.EqualFold(value, "auto"); *auto(into) {
			return nil
		}
		f := set(into, value)
		if f != nil {
			f.remedy += ", or auto"
		}
		return f
	}
}

// fraction stores a number from low to 1.
func fraction[T any](field func(*T) *float64, low float64) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= low && n <= 1) {
			return &fault{fmt.Sprintf("not a number from %v to 1", low), "give a share, e.g. 0.1"}
		}
		*field(into) = n
		return nil
	}
}

// truth stores true or false.
func truth[T any](field func(*T) *bool) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		*field(into) = value == "true"
		return nil
	}
}

// hostPort checks host:port.
func hostPort(value string) *fault {
	host, port, err := net.SplitHostPort(value)
	if n, e := strconv.Atoi(port); err != nil || host == "" || e != nil || n < 1 || n > 65535 {
		return &fault{fmt.Sprintf("%q is not host:port", value), "write e.g. broker.example.com:9092"}
	}
	return nil
}

// httpURL checks an absolute http or https URL without credentials in it.
func httpURL(value string) *fault {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return &fault{"not an http or https URL", "write e.g. https://host.example.com:8081"}
	case u.User != nil:
		return &fault{"holds a user in the URL", "give credentials in keys of their own"}
	case u.RawQuery != "" || u.Fragment != "":
		return &fault{"holds a query or a fragment", "end the URL before ? and #"}
	}
	return nil
}

// topicName checks what Kafka's Topic.validate does: 1 to
// 249 of letters, digits, '.', '_', '-', and not . or ..
func topicName(value string) *fault {
	legal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	bad := strings.TrimFunc(value, legal) != ""
	if bad || len(value) > 249 || value == "." || value == ".." {
		return &fault{"not a name that Kafka takes for a topic", "use up to 249 letters, digits, '.', '_' and '-'"}
	}
	return nil
}
