package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/coupa"
)

// Notifications says who is told of what. A connector's own keys take the place of the worker's, one by one.
type Notifications struct {
	WebhookURL    string       // "": no webhook
	WebhookSecret coupa.Secret `json:",omitempty"`
	Events        []string     // of NotifiedEvents; nil: all
	Topic         string       // "": no topic
}

// NotifiedEvents are the values of notifications.events.
var NotifiedEvents = []string{"token", "task", "freshness", "schema", "backfill", "rate"}

// Over gives n with what it lacks taken from the worker's.
func (n Notifications) Over(worker Notifications) Notifications {
	if n.WebhookURL == "" {
		n.WebhookURL = worker.WebhookURL
		if n.WebhookSecret == "" {
			n.WebhookSecret = worker.WebhookSecret
		}
	}
	if n.Events == nil {
		n.Events = worker.Events
	}
	if n.Topic == "" {
		n.Topic = worker.Topic
	}
	return n
}

// Wants tells whether an event of a kind is told.
func (n Notifications) Wants(kind string) bool {
	return n.Events == nil || slices.Contains(n.Events, kind)
}

// keys of notifications.
const (
	webhookURLKey    = "notifications.webhook.url"
	webhookSecretKey = "notifications.webhook.secret"

	notificationTopicKey = "notifications.topic"
)

// notificationSettings are those of T, which holds Notifications.
func notificationSettings[T any](of func(*T) *Notifications) []setting[T] {
	return []setting[T]{
		{Key{Name: webhookURLKey, Type: String, Importance: Medium, Example: "https://hooks.example.com/coupastream",
			Doc: "Where notifications are POSTed: `https://`, or `http://` to this machine. A connector's takes the place of the worker's. An address that is a secret by itself is to be a reference as a whole, over REST too, which shows what is written out."},
			text(func(t *T) *string { return &of(t).WebhookURL }, webhookURL)},
		{Key{Name: webhookSecretKey, Type: Password, Importance: Medium, Example: "${env:COUPASTREAM_WEBHOOK_SECRET}",
			Doc: "Key that notifications are signed with, as Standard Webhooks has it: `whsec_` and base64 of 24 to 64 bytes, or any text of at least 24 characters."},
			webhookSecret(func(t *T) *coupa.Secret { return &of(t).WebhookSecret })},
		{Key{Name: "notifications.events", Type: List, Importance: Low, Derived: "all", Example: "token, task",
			Doc: "What is notified: `token`, `task`, `freshness`, `schema`, `backfill`, `rate`."},
			eventNames(func(t *T) *[]string { return &of(t).Events })},
		{Key{Name: notificationTopicKey, Type: String, Importance: Low, Example: "coupastream-notifications",
			Doc: "Topic that notifications are written to besides; it is created if it isn't there."},
			text(func(t *T) *string { return &of(t).Topic }, topicName)},
	}
}

// webhookURL checks an address that secrets of its owner may stand in: it is not repeated.
func webhookURL(value string) *fault {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return &fault{"not an https URL", "write e.g. https://hooks.example.com/coupastream"}
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return &fault{"http:// is for this machine only", "write https://"}
	case u.User != nil:
		return &fault{"holds a user in the URL", "notifications are signed; give notifications.webhook.secret instead"}
	}
	return nil
}

// leastWebhookSecret is in characters: 18 bytes in base64.
const leastWebhookSecret = 24

func webhookSecret[T any](field func(*T) *coupa.Secret) func(*T, string) *fault {
	return func(into *T, value string) *fault {
		if value != "" && len(strings.TrimPrefix(value, "whsec_")) < leastWebhookSecret {
			return &fault{"too short to sign with", "give whsec_ and base64 of 24 to 64 random bytes"}
		}
		*field(into) = coupa.Secret(value)
		return nil
	}
}

func eventNames[T any](field func(*T) *[]string) func(*T, string) *fault {
	check := texts(field, func(entry string) *fault {
		if !slices.Contains(NotifiedEvents, entry) {
			return &fault{"unknown event " + entry, meant(entry, NotifiedEvents, "write some of "+strings.Join(NotifiedEvents, ", "))}
		}
		return nil
	})
	return func(into *T, value string) *fault {
		if value == "" {
			return nil
		}
		return check(into, value)
	}
}
