package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
)

func TestTracesGoToTheCollectorOfTheWorkersFile(t *testing.T) {
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) > 0 {
			got <- r.Method + " " + r.URL.Path
		}
	}))
	defer collector.Close()
	log := slog.New(slog.DiscardHandler)
	traces, flush, err := newTraces(t.Context(), &config.Worker{TracesEndpoint: collector.URL, TracesRatio: 1}, log)
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Tracer("test").Start(t.Context(), "a page")
	span.End()
	flush()
	if to := <-got; to != "POST /v1/traces" {
		t.Errorf("sent by %s", to)
	}
	if none, flush, err := newTraces(t.Context(), &config.Worker{}, log); none != nil || err != nil {
		t.Errorf("without an endpoint: %v, %v", none, err)
	} else {
		flush()
	}
}
