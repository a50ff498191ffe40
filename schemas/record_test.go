package schemas

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// shipment is a schema with every kind of nesting.
var shipment = recordOf("Shipment",
	nullable("ship_to", recordOf("Address", nullable("postal_code", `"string"`), nullable("country", `{"type":"record","name":"Country","fields":[{"name":"code","type":["null","string"],"default":null},`+unmappedField+`]}`))),
	nullable("bill_to", `"Address"`),
	nullable("lines", `{"type":"array","items":`+recordOf("Line", nullable("price", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}`), nullable("sub_lines", `{"type":"array","items":"Line"}`))+`}`),
	nullable("total", `"long"`),
	`{"name":"custom_fields","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"custom-fields"}`,
)

func TestRowsBecomeRecords(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, row, want string }{
		{"keys in the schema's order", `{"id":1,"ship-to":{"id":2,"postal-code":"8001"},"total":3}`, `{id:1 ship_to:{id:2 postal_code:"8001"} total:3}`},
		{"keys in another order", `{"total":3,"ship-to":{"postal-code":"8001","id":2},"id":1}`, `{id:1 ship_to:{id:2 postal_code:"8001"} total:3}`},
		{"white space everywhere", "\t{ \"id\" : 1 ,\r\n \"lines\" : [ { \"id\" : 5 } , { \"id\" : 6 } ] } \n", `{id:1 lines:[{id:5} {id:6}]}`},
		{"of a key given twice the last counts", `{"id":1,"total":3,"total":4,"id":9}`, `{id:9 total:4}`},
		{"a later null of the same key counts", `{"id":1,"total":3,"total":null}`, `{id:1}`},
		{"a later value replaces what was kept", `{"id":1,"total":[3],"total":4}`, `{id:1 total:4}`},
		{"a later value that is kept replaces the first", `{"id":1,"total":4,"total":[3]}`, `{id:1 unmapped:{total:"[3]"}}`},
		{"of an unknown key given twice the last counts", `{"id":1,"x":1,"y":2,"x":3}`, `{id:1 unmapped:{x:"3" y:"2"}}`},
		{"a later null of an unknown key counts", `{"id":1,"x":1,"x":null}`, `{id:1}`},
		{"an object whose only value is replaced by null is null", `{"id":1,"ship-to":{"country":{"code":"CH"},"country":null}}`, `{id:1}`},
		{"unknown keys before all others", `{"x":{"y":[1,{"z":null}]},"id":1}`, `{id:1 unmapped:{x:"{\"y\":[1,{\"z\":null}]}"}}`},
		{"unknown keys are kept verbatim, nulls are absent", `{"id":1,"x": [1, 2.0 ],"y":null,"":"\u0041"}`, `{id:1 unmapped:{:"\"\\u0041\"" x:"[1, 2.0 ]"}}`},
		{"a key named unmapped is an unknown one", `{"id":1,"unmapped":{"a":"b"}}`, `{id:1 unmapped:{unmapped:"{\"a\":\"b\"}"}}`},
		{"a key with escapes is the same key", `{"\u0069d":1,"t\u006ftal":3,"new\u002dkey":4}`, `{id:1 total:3 unmapped:{new-key:"4"}}`},
		{"the underscored twin of a key is that key", `{"id":1,"ship_to":{"id":2,"postal_code":"8001"}}`, `{id:1 ship_to:{id:2 postal_code:"8001"}}`},
		{"a twin before its key is kept beside it", `{"id":1,"ship_to":{"id":2},"ship-to":{"id":3}}`, `{id:1 ship_to:{id:3} unmapped:{ship_to:"{\"id\":2}"}}`},
		{"a twin behind its key is kept beside it", `{"id":1,"ship-to":{"id":3},"ship_to":{"id":2}}`, `{id:1 ship_to:{id:3} unmapped:{ship_to:"{\"id\":2}"}}`},
		{"of a twin given twice the last counts", `{"id":1,"ship_to":{"id":2},"ship_to":{"id":3}}`, `{id:1 ship_to:{id:3}}`},
		{"a twin that does not fit is kept as it was named", `{"id":1,"ship_to":7}`, `{id:1 unmapped:{ship_to:"7"}}`},
		{"a record used twice and one within itself", `{"id":1,"bill-to":{"id":4},"lines":[{"id":5,"sub-lines":[{"id":6,"price":"1.5","odd":true}]}]}`, `{bill_to:{id:4} id:1 lines:[{id:5 sub_lines:[{id:6 price:3/2 unmapped:{odd:"true"}}]}]}`},
		{"a list kept whole takes what its elements kept along", `{"id":1,"lines":[{"id":5,"odd":1},"x"],"more":2}`, `{id:1 unmapped:{lines:"[{\"id\":5,\"odd\":1},\"x\"]" more:"2"}}`},
		{"custom fields are JSON texts", `{"id":1,"custom-fields":{"sap-error":"false","rate":1.50,"project":{"id":7},"empty":"","gone":null}}`, `{custom_fields:{empty:"\"\"" project:"{\"id\":7}" rate:"1.50" sap-error:"\"false\""} id:1}`},
		{"a custom field given twice and last null is absent", `{"id":1,"custom-fields":{"a":1,"b":2,"a":null}}`, `{custom_fields:{b:"2"} id:1}`},
		{"custom fields that are all null are null", `{"id":1,"custom-fields":{"a":null}}`, `{id:1}`},
		{"custom fields may be null", `{"id":1,"custom-fields":null}`, `{id:1}`},
		{"custom fields may be an empty text", `{"id":1,"custom-fields":""}`, `{id:1}`},
		{"custom fields of another shape are kept", `{"id":1,"custom-fields":[{"name":"a"}]}`, `{id:1 unmapped:{custom-fields:"[{\"name\":\"a\"}]"}}`},
		{"a record between whose fields nulls are missing", `{"id":1,"total":1,"x":[]}`, `{id:1 total:1 unmapped:{x:"[]"}}`},
	}
	e := mustCompile(t, shipment)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.Append(nil, []byte(tt.row))
			if err != nil {
				t.Fatal(err)
			}
			if got := decode(t, shipment, got); got != tt.want {
				t.Errorf("decoded %s\nwant    %s", got, tt.want)
			}
		})
	}
}

func TestRowsThatCannotBeEncodedNameThePlace(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"id":1,"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	tests := []struct {
		name, row, path string
		offset          int // of a rowtext.SyntaxError, -1 for another error
	}{
		{"nothing", ``, "", 0},
		{"not an object", `[{"id":1}]`, "", 0},
		{"cut in a key", `{"id`, "", 4},
		{"cut behind a value", `{"id":1`, "", 7},
		{"no colon", `{"id" 1}`, "", 6},
		{"a comma too many", `{"id":1,}`, "", 8},
		{"a key without quotes", `{id:1}`, "", 1},
		{"something behind the row", `{"id":1}{`, "", 8},
		{"a zero byte behind the row", "{\"id\":1}\x00", "", 8},
		{"a leading zero", `{"id":01}`, "", 7},
		{"a plus", `{"id":+1}`, "id", 6},
		{"a fraction without digits", `{"id":1,"total":1.}`, "total", 18},
		{"an exponent without digits", `{"id":1,"total":1e+}`, "total", 19},
		{"a wrong escape", `{"id":1,"x":"\x41"}`, "", 13},
		{"a short unicode escape in a list", `{"id":1,"x":["\u12"]}`, "", 14},
		{"a control character", "{\"id\":1,\"x\":\"a\nb\"}", "", 14},
		{"a wrong word", `{"id":1,"total":nul}`, "total", 16},
		{"a wrong word that is unknown", `{"id":1,"x":tru}`, "", 12},
		{"nested as deeply as is allowed is fine but one more is not", deep(rowtext.MaxDepth), "", 12 + rowtext.MaxDepth - 1},
		{"malformed within a line", `{"id":1,"lines":[{"id":2},{"id":3,"sub-lines":[{"id":4,"price":}]}]}`, "lines[1].sub-lines[0].price", 63},
		{"no id", `{"total":1}`, "id", -1},
		{"an id that is null", `{"id":null,"total":1}`, "id", -1},
		{"an id that is an empty text", `{"id":""}`, "id", -1},
		{"an id that does not fit", `{"id":1.5}`, "id", -1},
		{"an empty row", `{}`, "id", -1},
		{"a line without an id", `{"id":1,"lines":[{"id":2},{}]}`, "lines[1].id", -1},
		{"an association without an id", `{"id":1,"ship-to":{"country":{"code":"CH"}}}`, "ship-to.id", -1},
		{"a price that is a word", `{"id":1,"lines":[{"id":2},null,{"id":3,"price":"free"}]}`, "lines[2].price", -1},
		{"a lone line with a price that is a word", `{"id":1,"lines":{"id":3,"price":"free"}}`, "lines.price", -1},
	}
	e := mustCompile(t, shipment)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.Append([]byte("before"), []byte(tt.row))
			var f *rowtext.FieldError
			if !errors.As(err, &f) || string(got) != "before" {
				t.Fatalf("Append = %q, %v; want a rowtext.FieldError and dst as it was", got, err)
			}
			if f.Path != tt.path {
				t.Errorf("path %q, want %q (%v)", f.Path, tt.path, err)
			}
			var s *rowtext.SyntaxError
			switch {
			case errors.As(err, &s) != (tt.offset >= 0):
				t.Errorf("error %v; a syntax error: want %v", err, tt.offset >= 0)
			case s != nil && s.Offset != tt.offset:
				t.Errorf("offset %d, want %d (%v)", s.Offset, tt.offset, err)
			}
			if strings.Contains(err.Error(), "free") {
				t.Errorf("the error prints the value: %v", err)
			}
			if _, err := e.Append(nil, []byte(`{"id":1}`)); err != nil {
				t.Errorf("the next row fails: %v", err)
			}
		})
	}
	if _, err := e.Append(nil, []byte(deep(rowtext.MaxDepth-1))); err != nil {
		t.Errorf("%d lists around nothing: %v", rowtext.MaxDepth-1, err)
	}
}

func TestListsAndMapsOfAnyLength(t *testing.T) {
	t.Parallel()
	e := mustCompile(t, shipment)
	for _, n := range []int{1, 63, 64, 65, 8191, 8192, 20000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var lines, custom, unknown, wantLines, wantCustom []string
			for i := range n {
				lines = append(lines, fmt.Sprintf(`{"price":"%d.25","id":%d}`, i, i))
				wantLines = append(wantLines, fmt.Sprintf(`{id:%d price:%d/4}`, i, 4*i+1))
				custom = append(custom, fmt.Sprintf(`"c%06d":%d`, i, i))
				unknown = append(unknown, fmt.Sprintf(`"u%06d":%d`, n-1-i, n-1-i))
				wantCustom = append(wantCustom, fmt.Sprintf(`c%06d:"%d"`, i, i))
			}
			row := fmt.Sprintf(`{"id":1,"custom-fields":{%s},"lines":[%s],%s}`, strings.Join(custom, ","), strings.Join(lines, ","), strings.Join(unknown, ","))
			got, err := e.Append(nil, []byte(row))
			if err != nil {
				t.Fatal(err)
			}
			maps := strings.Join(wantCustom, " ")
			want := fmt.Sprintf(`{custom_fields:{%s} id:1 lines:[%s] unmapped:{%s}}`, maps, strings.Join(wantLines, " "), strings.ReplaceAll(maps, "c", "u"))
			if got := decode(t, shipment, got); got != want {
				t.Errorf("%d items are decoded wrongly", n)
			}
		})
	}
}

func TestEqualContentGivesEqualBytes(t *testing.T) {
	t.Parallel()
	e := mustCompile(t, shipment)
	rows := []string{
		`{"id":1,"total":2,"x":1,"y":{"z":[]},"ship-to":{"id":2,"postal-code":"8001","country":null}}`,
		`{"y":{"z":[]},"x":1,"ship-to":{"postal-code":"8001","id":2},"total":2,"bill-to":null,"id":1}`,
		` {"x":1,"id":1,"ship-to":{"country":{},"id":2,"postal-code":"8001"},"y":{"z":[]},"total":2,"z":null}`,
	}
	want, err := e.Append(nil, []byte(rows[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		got, err := e.Append(nil, []byte(row))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s gives %x, %v; want %x", row, got, err, want)
		}
	}
}
