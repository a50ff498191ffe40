// Package notify tells others what happens to connectors: by signed webhooks, and in a topic.
//
// [Watch] is the pure part: it makes events of what connectors are like from one time
// to the next. An event tells of a change alone: one when a trouble begins and one
// when it is over, and a trouble that comes back within a minute is the same one.
//
// A [Notifier] sends them. Sending never waits: each address has a queue of its own, in which
// events keep their order, and what does not fit is dropped and counted in the log. A webhook
// is POSTed as Standard Webhooks (https://www.standardwebhooks.com) has it, with the headers
// webhook-id, webhook-timestamp and webhook-signature, and repeated until it is answered with
// 2xx, for about an hour: after no answer, 408, 429 and 5xx, with growing pauses. The id of an
// event stays the same, so that a receiver can tell a repetition. Redirects are not followed.
package notify
