package record

import (
	"strings"
	"testing"
)

func TestTheRemedyOfARowThatIsTooLargeIsNotWhatIsSetAlready(t *testing.T) {
	for _, tt := range []struct {
		handling string
		trimmed  bool
		want     []string
	}{
		{oversizeFail, false, []string{"goes on by itself", "record.oversize = deadletter or trim"}},
		{oversizeTrim, true, []string{"goes on by itself", "record.oversize = deadletter"}},
		{oversizeDeadLetter, false, []string{"coupastream replay", "record.oversize = trim"}},
	} {
		err := &oversizeError{topic: "coupa.invoices", size: 2000, limit: 1000, handling: tt.handling, trimmed: tt.trimmed}
		for _, want := range append(tt.want, "larger than topic coupa.invoices takes (1000)", "max.message.bytes") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s; want %s", tt.handling, err, want)
			}
		}
		if set := "record.oversize = " + tt.handling; strings.Contains(err.Error(), set) {
			t.Errorf("%s is advised though it is set: %s", set, err)
		}
	}
}
