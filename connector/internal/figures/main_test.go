package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestFiguresAreReadFromBenchmarks(t *testing.T) {
	f, err := read(strings.NewReader("cpu: Some Processor\nBenchmarkReal/Tenants/10x20-2 \t 1\t 100 ns/op\t 3.5 peak-MiB\n" +
		"BenchmarkReal/Tenants/200x20-2 1 1 ns/op 5 peak-MiB\nBenchmarkFresh/auto/all\t1\t3 p50-s\nBenchmarkFresh/auto/all\t1\t1 p50-s\n" +
		"BenchmarkFresh/auto/all\t1\t2 p50-s\nok  \tconnector\t2 s\n"))
	if err != nil || f.cpu != "Some Processor" {
		t.Fatalf("%+v, %v", f, err)
	}
	if v, err := f.get("Fresh/auto/all", "p50-s"); v != 2 || err != nil {
		t.Errorf("the median of three is %v, %v", v, err)
	}
	if names, err := f.names("Real/Tenants"); strings.Join(names, " ") != "10x20 200x20" || err != nil {
		t.Errorf("%v, %v", names, err)
	}
	if v, err := f.sum("Real/Tenants", "peak-MiB"); v != 8.5 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := f.get("Fresh/auto/all", "p99-s"); err == nil {
		t.Error("a figure that was not printed is no error")
	}
}

func TestAPageThatLacksAFigureIsNotWritten(t *testing.T) {
	if err := run(strings.NewReader("BenchmarkFresh/auto/all\t1\t3 p50-s\n"), new(bytes.Buffer), time.Now()); err == nil || !strings.Contains(err.Error(), "p99-s") {
		t.Errorf("%v", err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for got, want := range map[string]string{
		grouped(999): "999", grouped(12345.6): "12,346", grouped(1234567): "1,234,567",
		span(41.6): "42 s", span(416): "7 min", span(41600): "11.6 h", span(416000): "4.8 days",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
