//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// benchmarkHostile reads 8,000 invoices of each of four tenants, alone and beside one whose rows of
// two objects have no end, at the defaults and with a row.max.bytes of its own.
//
//	rec/s        of the four together, beside the other one
//	alone-rec/s  of the four alone, in the same run
//	x-alone      the one over the other; 0.95 is the aim
//	peak-MiB     of the worker, beside the other one; the aim: at most 350, and 200 with 16 MiB
//	alone-peak-MiB    of the worker, of the four alone
//	hostile-requests  how often the other one was asked for rows
func (p *parts) benchmarkHostile(b *testing.B) {
	const n = 8_000
	var tenants []*tenant
	for i := range 4 {
		t := p.tenant(b, fmt.Sprint("good", i), "--objects", "invoices", "--rows", fmt.Sprint(n), "--changes-per-second", "0")
		t.warm(b, "invoices")
		tenants = append(tenants, t)
	}
	hostile := p.tenant(b, "hostile", "--objects", "suppliers,users", "--rows", "100", "--changes-per-second", "0")
	hostile.answer(b, coupatest.Fault{Kind: coupatest.EndlessRow, Count: -1})
	run := func(b *testing.B, name string, other map[string]string) measurement {
		var good []*worker
		for _, t := range tenants {
			good = append(good, p.worker(b, t.as(t.name+name), map[string]string{"coupa.objects": "invoices", "coupa.rate.limit": "15"}))
		}
		good[0].beside = slices.Clone(good[1:])
		if other != nil {
			good[0].beside = append(good[0].beside, p.worker(b, hostile.as(hostile.name+name), other))
		}
		return p.measureAll(b, good, n)
	}
	for _, c := range []struct{ name, bound string }{{"Defaults", "67108864"}, {"16MiB", "16777216"}} {
		b.Run(c.name, func(b *testing.B) {
			name := c.name
			for i := range b.N {
				alone := run(b, fmt.Sprint("-alone-", name, i), nil)
				before := hostile.mustCount(b)
				beside := run(b, fmt.Sprint("-beside-", name, i), map[string]string{"coupa.objects": "suppliers,users", "coupa.rate.limit": "15", "row.max.bytes": c.bound})
				after := hostile.mustCount(b)
				beside.report(b)
				b.ReportMetric(alone.rate(), "alone-rec/s")
				b.ReportMetric(beside.rate()/alone.rate(), "x-alone")
				b.ReportMetric(float64(alone.peak)/(1<<20), "alone-peak-MiB")
				b.ReportMetric(float64(after["suppliers"]+after["users"]-before["suppliers"]-before["users"]), "hostile-requests")
			}
		})
	}
}

// benchmarkHanging starts a worker of ten tenants of 20 objects whose token endpoint hangs, and of
// a good one, and of the good one alone.
//
//	first-s        from the start of the process to the good one's first record; 8 is the aim
//	alone-first-s  likewise, of the good one alone
func (p *parts) benchmarkHanging(b *testing.B) {
	good := p.tenant(b, "starts", "--objects", "suppliers", "--rows", "200", "--changes-per-second", "0")
	var objects []string
	for _, r := range coupa.Resources() {
		if r.Parent == "" && len(objects) < 20 {
			objects = append(objects, r.Path)
		}
	}
	var hanging []*tenant
	for i := range 10 { // by name before and behind the good one
		t := p.tenantOf(b, p.dir, fmt.Sprintf("%cangs%d", "hz"[i%2], i), coupatest.Config{Rows: 1})
		t.answer(b, coupatest.Fault{Kind: coupatest.Hang, Object: coupatest.TokenRequests, Count: -1})
		hanging = append(hanging, t)
	}
	for i := range b.N {
		first := func(name string, others []*tenant) float64 {
			w := p.worker(b, good.as(good.name+fmt.Sprint(name, i)), map[string]string{"coupa.objects": "suppliers", "coupa.rate.limit": "15"})
			for _, t := range others {
				w.beside = append(w.beside, p.worker(b, t, map[string]string{"coupa.objects": strings.Join(objects, ","), "coupa.rate.limit": "15"}))
			}
			w.logs = filepath.Join(p.dir, w.tenant.name+"-run")
			started := time.Now()
			w.start()
			topic := w.topics()["suppliers"]
			p.awaitRecords(b, w, []string{topic}, 200)
			w.stop(b)
			at, _ := p.stamps(b, topic, 200)
			return at.Sub(started).Seconds()
		}
		b.ReportMetric(first("-alone", nil), "alone-first-s")
		b.ReportMetric(first("-beside", hanging), "first-s")
	}
}

// measureAll runs a worker, the first of several that share a process, until n
// records of each are committed.
func (p *parts) measureAll(b *testing.B, ws []*worker, n int) measurement {
	b.Helper()
	var topics []string
	for _, w := range ws {
		topics = append(topics, w.topicNames()...)
	}
	ws[0].start()
	p.awaitRecords(b, ws[0], topics, n)
	m := measurement{usage: ws[0].usage(b), records: n * len(topics)}
	ws[0].stop(b)
	var first, last time.Time
	for _, topic := range topics {
		from, to := p.stamps(b, topic, n)
		if first.IsZero() || from.Before(first) {
			first = from
		}
		if to.After(last) {
			last = to
		}
	}
	m.span = last.Sub(first)
	return m
}

// awaitRecords waits until n offsets of each topic are used, and no more come.
func (p *parts) awaitRecords(b *testing.B, w *worker, topics []string, n int) {
	b.Helper()
	adm := p.admin(b)
	err := await(b.Context(), fmt.Sprint(n, " records of each"), 10*time.Minute, func() error {
		if !w.running() {
			return fmt.Errorf("%w: %s", errEnded, tail(w.stderr, 3))
		}
		ends, err := endOffsets(b.Context(), adm, topics)
		for topic, used := range ends {
			if used < int64(n) {
				err = errors.Join(err, fmt.Errorf("%d offsets of %s are used", used, topic))
			}
		}
		return err
	})
	if err == nil {
		err = atRest(b.Context(), adm, topics, 3*time.Second, time.Minute)
	}
	if err != nil {
		b.Fatal(err)
	}
}
