package schemas

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var updateGolden = flag.Bool("update-golden", false, "write testdata/golden/*.avro; testdata/golden/README.md says how to verify them")

// The golden bytes were read back by Apache Avro for Java and by fastavro: testdata/golden/README.md.
func TestBytesAreThoseThatOtherImplementationsRead(t *testing.T) {
	tests := []struct{ name, schema string }{
		{"values", "golden/sample.avsc"},
		{"long-lists", "golden/sample.avsc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			avsc := string(readTestdata(t, tt.schema))
			got, err := mustCompile(t, avsc).Append(nil, readTestdata(t, "golden/"+tt.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			decode(t, avsc, got)
			file := "golden/" + tt.name + ".avro"
			if *updateGolden {
				if err := os.WriteFile("testdata/"+file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, readTestdata(t, file)) {
				t.Errorf("the bytes differ from %s", file)
			}
		})
	}
}
