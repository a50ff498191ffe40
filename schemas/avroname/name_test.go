package avroname_test

import (
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/coupastream/coupastream/schemas/avroname"
)

func TestFieldNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		coupa, avro []string
	}{
		{"a hyphen becomes an underscore", []string{"invoice-number", "id"}, []string{"invoice_number", "id"}},
		{"a question loses its mark", []string{"show-tax-information?"}, []string{"show_tax_information"}},
		{"two names that would meet stay two", []string{"is-default", "is-default?"}, []string{"is_default", "is_default__2"}},
		{"the first of them keeps the plain name", []string{"is-default?", "is-default"}, []string{"is_default", "is_default__2"}},
		{"hyphens and underscores meet too", []string{"po-number", "po_number", "po number"}, []string{"po_number", "po_number__2", "po_number__3"}},
		{"a number that is taken is passed over", []string{"a__2", "a", "a?"}, []string{"a__2", "a", "a__3"}},
		{"a digit cannot come first", []string{"1099-type"}, []string{"_1099_type"}},
		{"letters that Avro does not know become underscores", []string{"größe-m"}, []string{"gr__e_m"}},
		{"a trailing hyphen stays", []string{"ap-custom-field-"}, []string{"ap_custom_field_"}},
		{"nothing left is an underscore", []string{"?", ""}, []string{"_", "___2"}},
		{"no names, no fields", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := avroname.Fields(tt.coupa); !slices.Equal(got, tt.avro) {
				t.Errorf("FieldNames(%q) = %q, want %q", tt.coupa, got, tt.avro)
			}
		})
	}
}

func TestRecordName(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{"InvoiceHeader": "InvoiceHeader", "Asn-Header": "Asn_Header", "Invoice-FailedTolerance": "Invoice_FailedTolerance"} {
		if got := avroname.Of(object); got != want {
			t.Errorf("RecordName(%q) = %q, want %q", object, got, want)
		}
	}
}

func FuzzFieldNames(f *testing.F) {
	f.Add("is-default", "is-default?", "is_default__2")
	f.Add("", "?", "9-é")
	f.Add("a", "a__2", "a?")
	valid := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		names := avroname.Fields([]string{a, b, c})
		for i, name := range names {
			if !valid.MatchString(name) {
				t.Errorf("%q is no Avro name", name)
			}
			if slices.Contains(names[:i], name) {
				t.Errorf("%q twice", name)
			}
		}
		if before := avroname.Fields([]string{a, b}); !slices.Equal(before, names[:2]) {
			t.Errorf("a third name changed %q to %q", before, names[:2])
		}
	})
}

func TestSegment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"acme": "acme", "acme-eu": "acme_2deu", "acme_eu": "acme__eu", "3m": "_33m", "a3": "a3", "a.b": "a_2eb", "ö": "_c3_b6", "_2d": "__2d", "-": "_2d"} {
		if got := avroname.Segment(text); got != want || !avroname.IsNamespace(got) {
			t.Errorf("Segment(%q) = %q, want %q", text, got, want)
		}
	}
	for _, no := range []string{"", "a.", ".a", "a..b", "3a", "a-b", "a b"} {
		if avroname.IsNamespace(no) {
			t.Errorf("%q is taken for a namespace", no)
		}
	}
}

// No two texts have one name: each can be read back.
func FuzzSegment(f *testing.F) {
	for _, text := range []string{"acme-eu", "3m", "_33m", "__", "ö"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := avroname.Segment(text)
		if text != "" && !avroname.IsNamespace(name) {
			t.Errorf("%q is no Avro name", name)
		}
		var back []byte
		for i := 0; i < len(name); i++ {
			switch {
			case name[i] != '_':
				back = append(back, name[i])
			case name[i+1] == '_':
				back = append(back, '_')
				i++
			default:
				c, err := strconv.ParseUint(name[i+1:i+3], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				back = append(back, byte(c))
				i += 2
			}
		}
		if string(back) != text {
			t.Errorf("%q became %q, which reads %q", text, name, back)
		}
	})
}
