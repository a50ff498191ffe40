package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

func TestWhichRowsAreDeadLettersByErrorsTolerance(t *testing.T) {
	value, stamp, unsent := &rowtext.FieldError{Err: errors.New("the text is no number")}, &StampError{errors.New("no instant")}, &UnreadError{errors.New("502")}
	refused, large := &conflictError{errors.New("incompatible")}, &oversizeError{topic: "coupa.invoices"}
	for _, tt := range []struct {
		tolerance, topic string
		// why it is a dead letter, by the class in its headers; "": it stops its object
		value, stamp string
		unsent       string
	}{
		{"none", "", "", "", ""},
		{"none", "dead", "", "", ""},
		{"all", "dead", "schemas.Encoder", "coupa.Row", "coupa.Client"},
		{"unmapped", "", "", "", ""},
		{"unmapped", "dead", "schemas.Encoder", "coupa.Row", ""},
	} {
		d := newDeadLetters("acme", &config.Object{ErrorsTolerance: tt.tolerance, DLQTopic: tt.topic, Oversize: "fail", SchemaConflict: "halt"})
		for err, want := range map[error]string{value: tt.value, stamp: tt.stamp, unsent: tt.unsent, refused: "", large: ""} {
			why, taken := d.takes(&RowError{Object: "invoices", ID: 7, Err: err})
			if taken != (want != "") || why.class != want {
				t.Errorf("%s, topic %q: %T: %q, want %q", tt.tolerance, tt.topic, err, why.class, want)
			}
			letter := &kgo.Record{Headers: []kgo.RecordHeader{{Key: headerErrorClass, Value: []byte(why.class)}}}
			if taken && (IsUnstamped(letter) != (err == error(stamp)) || IsUnread(letter) != (err == error(unsent))) {
				t.Errorf("the letter of a %T is not known as such", err)
			}
		}
		if _, taken := d.takes(value); taken {
			t.Errorf("%s: an error that is of no row makes a dead letter", tt.tolerance)
		}
	}
	if got := (&RowError{Object: "invoices", ID: 7, Err: stamp}).Remedy(); !strings.Contains(got, "updated-at") {
		t.Errorf("remedy: %s", got)
	}
}
