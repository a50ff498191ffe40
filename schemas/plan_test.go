package schemas

import (
	"os"
	"strings"
	"sync"
	"testing"
)

func TestCompileRefusesWhatItCannotEncode(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, avsc, want string }{
		{"no schema", `{`, "compiling schema"},
		{"no record at the top", `"string"`, "not a record"},
		{"an unmapped that is not nullable", `{"type":"record","name":"T","fields":[{"name":"unmapped","type":{"type":"map","values":"string"},"coupa.role":"unmapped"}]}`, "one field of role"},
		{"an unmapped text that is not nullable", `{"type":"record","name":"T","fields":[{"name":"unmapped","type":"string","coupa.role":"unmapped"}]}`, "one field of role"},
		{"two of role unmapped", recordOf("T", strings.Replace(unmappedField, `"unmapped"`, `"rest"`, 1)), "one field of role"},
		{"two fields of one key", recordOf("T", nullable("a", `"long"`), `{"name":"b","type":["null","long"],"default":null,"coupa.name":"a"}`), `its key "a" is also that of field number 1`},
		{"a map without a role", recordOf("T", nullable("a", `{"type":"map","values":"string"}`)), "a map must be of string"},
		{"a map of another type", recordOf("T", `{"name":"c","type":["null",{"type":"map","values":"long"}],"coupa.role":"custom-fields"}`), "a map must be of string"},
		{"a wider union", recordOf("T", `{"name":"a","type":["null","long","string"]}`), "union other than"},
		{"a union with null behind", recordOf("T", `{"name":"a","type":["long","null"]}`), "union other than"},
		{"bytes without decimal", recordOf("T", nullable("a", `"bytes"`)), "type bytes"},
		{"another logical type", recordOf("T", nullable("a", `{"type":"long","logicalType":"timestamp-micros"}`)), "timestamp-micros"},
		{"an enum", recordOf("T", nullable("a", `{"type":"enum","name":"E","symbols":["X"]}`)), "type enum"},
		{"a float", recordOf("T", nullable("a", `"float"`)), "type float"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Compile(tt.avsc); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compile: %v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestKeysComeFromThePropertyOrTheName(t *testing.T) {
	t.Parallel()
	avsc := recordOf("T",
		`{"name":"is_default","type":["null","long"],"default":null,"coupa.name":"is-default"}`,
		`{"name":"is_default__2","type":["null","long"],"default":null,"coupa.name":"is-default?"}`,
		nullable("ship_to_id", `"long"`),
		`{"name":"a1","type":["null","long"],"default":null,"coupa.name":"a-b_c"}`,
		`{"name":"a2","type":["null","long"],"default":null,"coupa.name":"a_b-c"}`,
		`{"name":"b1","type":["null","long"],"default":null,"coupa.name":"b-c"}`,
		`{"name":"b2","type":["null","long"],"default":null,"coupa.name":"b_c"}`,
	)
	tests := []struct{ name, row, want string }{
		{"keys are opaque", `{"id":1,"is-default":2,"is-default?":3}`, `{id:1 is_default:2 is_default__2:3}`},
		{"without a property the name's _ stand for -", `{"id":1,"ship-to-id":4}`, `{id:1 ship_to_id:4}`},
		{"a twin leads to its field", `{"id":1,"is_default?":5}`, `{id:1 is_default__2:5}`},
		{"a twin of two fields leads to neither", `{"id":1,"a_b_c":6}`, `{id:1 unmapped:{a_b_c:"6"}}`},
		{"a twin that is another field's key is that field", `{"id":1,"b_c":7}`, `{b2:7 id:1}`},
	}
	e := mustCompile(t, avsc)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.Append(nil, []byte(tt.row))
			if err != nil {
				t.Fatal(err)
			}
			if got := decode(t, avsc, got); got != tt.want {
				t.Errorf("decoded %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOnePlanServesManyEncoders(t *testing.T) {
	t.Parallel()
	avsc, row := readTestdata(t, "invoice.avsc"), readTestdata(t, "invoice.json")
	p, err := Compile(string(avsc))
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Encoder().Append(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			e := p.Encoder()
			for range 20 {
				if got, err := e.Append(nil, row); err != nil || string(got) != string(want) {
					t.Errorf("a concurrent encoder gives other bytes, error %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAppendDoesNotAllocate(t *testing.T) {
	row := readTestdata(t, "invoice.json")
	e := mustCompile(t, string(readTestdata(t, "invoice.avsc")))
	var dst []byte
	allocs := testing.AllocsPerRun(20, func() {
		var err error
		if dst, err = e.Append(dst[:0], row); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations a row, want none once the encoder has grown", allocs)
	}
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryObjectHasAPlanInEveryDecimalMode(t *testing.T) {
	t.Parallel()
	const row = `{"id":7,"updated-at":"2024-04-01T02:16:48+03:00","custom-fields":{"a":{"id":1}},"no-such-key":[1]}`
	for _, path := range Objects() {
		for _, mode := range []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble} {
			t.Run(path+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				s, err := For(path, Options{Decimals: mode})
				if err != nil {
					t.Fatal(err)
				}
				p, err := s.Plan()
				if err != nil {
					t.Fatal(err)
				}
				sent := row
				below := strings.Contains(s.JSON(), `"coupa.role":"parent"`)
				if below {
					sent = `{"` + ParentKey + `":9,` + row[1:]
				}
				got, err := p.Encoder().Append(nil, []byte(sent))
				if err != nil {
					t.Fatal(err)
				}
				want := `{custom_fields:{a:"{\"id\":1}"} id:7 unmapped:{no-such-key:"[1]" updated-at:"\"2024-04-01T02:16:48+03:00\""}}`
				if strings.Contains(s.JSON(), `"name":"updated_at"`) {
					want = `{custom_fields:{a:"{\"id\":1}"} id:7 unmapped:{no-such-key:"[1]"} updated_at:2024-03-31T23:16:48Z}`
				}
				if below {
					want = strings.Replace(want, "id:7", "id:7 parent_id:9", 1)
				}
				if got := decode(t, s.JSON(), got); got != want {
					t.Errorf("decoded %s\nwant    %s", got, want)
				}
			})
		}
	}
}
