package coupa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a body that begins like head and repeats tail without an end.
type endless struct {
	head *strings.Reader
	tail string
	read *int64
}

func (e endless) Read(p []byte) (int, error) {
	n, err := e.head.Read(p)
	if err == io.EOF {
		n = copy(p, strings.Repeat(e.tail, 1+len(p)/len(e.tail)))
	}
	*e.read += int64(n)
	return n, nil
}

func TestWhatHasNoEndFailsWithTheIDBeforeIt(t *testing.T) {
	t.Parallel()
	const bound = 3 << 20
	for name, tt := range map[string]struct {
		head, tail string
		says       string
		most       int64 // bytes read
	}{
		"a text":                        {`[{"id":7},{"id":8,"a":"`, "x", "the row after id 7: it is too long: more than the 3145728 bytes of row.max.bytes", bound},
		"a list of numbers":             {`[{"id":7},{"id":8,"a":[1`, ",1", "the row after id 7: it is too long", bound},
		"blanks in a row":               {`[{"id":7},{"id":8,`, " ", "the row after id 7: it is too long", bound},
		"blanks between":                {`[{"id":7},`, "\n", "the row after id 7: the white space before it is too long: more than 1048576 bytes", mostBlanks},
		"blanks at the end":             {`[{"id":7}`, " ", "the row after id 7: the white space before it is too long", mostBlanks},
		"blanks behind":                 {`[{"id":7}]`, " ", "the row after id 7: the white space before it is too long", mostBlanks},
		"blanks from the first byte on": {"", " ", "the row after id 3: the white space before it is too long", mostBlanks},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := &account{}
				var read int64
				closed := false
				c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", RowBytes: bound, LargeRows: NewLargeRows(account),
					Transport: &fake{api: func(int, *http.Request) *http.Response {
						res := answer(200, ``)
						res.Body = closer{endless{strings.NewReader(tt.head), tt.tail, &read}, &closed}
						return res
					}}})
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = collect(t.Context(), c, Query{Path: "invoices", After: 3})
				if KindOf(err) != BadRow || !strings.Contains(fmt.Sprint(err), tt.says) || !closed {
					t.Errorf("got %v", err)
				}
				if read > tt.most+2*firstBuffer {
					t.Errorf("%d bytes were read of it, want hardly more than %d", read, tt.most)
				}
				if account.held != 0 || account.most > bound {
					t.Errorf("%d bytes are held, at most %d were", account.held, account.most)
				}
			})
		})
	}
}

func TestARowIsTakenUpToItsBound(t *testing.T) {
	t.Parallel()
	for _, most := range []int{200, 100_000, 1 << 20, 1<<20 + 1, 3_000_000} {
		for _, over := range []int{-1, 0, 1, 5000} {
			text := `{"id":1,"a":"` + strings.Repeat("x", most+over-len(`{"id":1,"a":""}`)) + `"}`
			in := &room{large: NewLargeRows(nil)}
			got, err := splitIn(strings.NewReader(`[{"id":0},`+text+`,{"id":2}]`), in, most)
			if fits := over <= 0; fits && (err != nil || len(got) != 3 || string(got[1].text) != text) || !fits && (!errors.Is(err, errTooMuch) || len(got) != 1) {
				t.Errorf("a row of %d bytes where %d may be: %d rows, %v", most+over, most, len(got), err)
			}
		}
	}
}

// account counts what is held of it, and may make users wait.
type account struct {
	mu         sync.Mutex
	held, most int64
	free       chan struct{} // nil: nobody waits
}

func (a *account) Acquire(ctx context.Context, n int64) error {
	if a.free != nil {
		select {
		case <-a.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += n
	a.most = max(a.most, a.held)
	return nil
}

func (a *account) Release(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= n
}

// large renders a row of about so many bytes.
func large(id, size int) string {
	return fmt.Sprintf(`{"id":%d,"a":"%s"}`, id, strings.Repeat("x", size))
}

func TestLargeRowsAreCountedOneAtATimeAndGivenBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		account := &account{}
		shared := NewLargeRows(account)
		bodies := []string{
			"[" + large(1, 5_000_000) + "," + large(2, 100) + "," + large(3, 2_000_000) + "]",
			"[" + large(1, 100) + "," + large(2, 3_000_000) + "]",
		}
		var wg sync.WaitGroup
		for _, body := range bodies {
			c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: &fake{api: pages(body)}, LargeRows: shared})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				_, err := c.Fetch(t.Context(), Query{Path: "invoices"}, func(r Row) error {
					pass(time.Second)
					account.mu.Lock()
					defer account.mu.Unlock()
					if size := int64(len(r.JSON)); size > keptBuffer && (account.held < size || account.held > 9<<20) {
						t.Errorf("with a row of %d bytes in hand %d are held", size, account.held)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if account.held != 0 || account.most > 10<<20 {
			t.Errorf("%d bytes are held, %d were at most", account.held, account.most)
		}
	})
}

func TestALargeRowIsGivenBackBeforeTheNextSmallOnesAreRead(t *testing.T) {
	t.Parallel()
	account := &account{}
	body := io.MultiReader(strings.NewReader("["+large(1, 2_000_000)), strings.NewReader(","+large(2, 100)+"]"))
	r := newRows(t.Context(), body, &room{large: NewLargeRows(account)}, defaultRowBytes, "")
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	for i, holds := range []bool{true, false} {
		if _, err := r.next(); err != nil || (account.held > 0) != holds {
			t.Errorf("row %d: %d bytes are held (%v)", i, account.held, err)
		}
	}
	r.release()
}

func TestWaitingForMemoryListensToTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		account := &account{free: make(chan struct{})}
		c, err := New(Config{
			URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s",
			Transport: &fake{api: pages("[" + large(1, 100) + "," + large(2, 3_000_000) + "]")}, LargeRows: NewLargeRows(account),
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 { // one waits for memory, the others for their turn
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				ids, _, err := collect(ctx, c, Query{Path: "invoices"})
				if !errors.Is(err, context.DeadlineExceeded) || len(ids) != 1 {
					t.Errorf("got %v, %v", ids, err)
				}
			})
		}
		wg.Wait()
		if account.held != 0 {
			t.Errorf("%d bytes are held", account.held)
		}
		account.free = nil
		if ids, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil || len(ids) != 2 {
			t.Errorf("with memory: %v, %v", ids, err)
		}
	})
}

func TestARowsBoundIsASetting(t *testing.T) {
	t.Parallel()
	for bound, ok := range map[int64]bool{0: true, 1: true, 64 << 20: true, -1: false, 1 << 31: false} {
		_, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", RowBytes: bound})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "row.max.bytes") {
			t.Errorf("%d: %v", bound, err)
		}
	}
}

func TestTextsThatAreNotUTF8AreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := []string{
			`{"id":1,"a":"plain","é":"€😀 in all lengths, far from the start"}`,
			"{\"id\":2,\"a\":\"caf\xe9\",\"b\":{\"c\":[\"\xff\xfe\",\"ok\",\"long enough for a word \xc3\"]}}",
			"{\"id\":3,\"\xe9\":\"é\",\"surrogates\":\"\xed\xa0\xbd\xed\xb8\x80\"}",
			`{"id":4,"a":"\ud83d is written out"}`,
			"{\"id\":5,\"a\":\"é\xe9\\\"é\"}",
		}
		for _, cut := range []int{1, 7, 1 << 20} {
			c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
				res := answer(200, ``)
				res.Body = io.NopCloser(cuts{strings.NewReader("[" + strings.Join(rows, ",") + "]"), cut})
				return res
			}})
			var got []int
			page, err := c.Fetch(t.Context(), Query{Path: "invoices"}, func(r Row) error {
				if string(r.JSON) != rows[len(got)] {
					t.Errorf("row %d was changed", r.ID)
				}
				got = append(got, r.Malformed)
				return nil
			})
			if err != nil || fmt.Sprint(got) != "[0 3 2 0 1]" || page.Malformed != 6 {
				t.Errorf("in pieces of %d: %v texts, %+v, %v", cut, got, page, err)
			}
		}
	})
}

// cuts gives so many bytes at a time.
type cuts struct {
	src io.Reader
	n   int
}

func (c cuts) Read(p []byte) (int, error) { return c.src.Read(p[:min(len(p), c.n)]) }

func TestAByteOrderMarkIsPassedOver(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		"\xef\xbb\xbf[{\"id\":1}]":   1,
		"\xef\xbb\xbf [{\"id\":1}]":  1,
		"\xef\xbb\xbf\xef\xbb\xbf[]": -1,
		"\xef\xbb[]":                 -1,
		" \xef\xbb\xbf[]":            -1,
		"[\xef\xbb\xbf{}]":           -1,
		"\xef\xbb":                   -1,
	} {
		for _, n := range []int{1, 2, 100} {
			got, err := split(cuts{strings.NewReader(body), n})
			if (err == nil) != (want >= 0) || err == nil && len(got) != want {
				t.Errorf("%q in pieces of %d: %d rows, %v", body, n, len(got), err)
			}
		}
	}
}

func TestAResourceMayHaveAnotherBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", RowBytesOf: map[string]int64{"suppliers": 90_000},
			Transport: &fake{api: pages("[" + large(1, 100_000) + "]")}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := collect(t.Context(), c, Query{Path: "suppliers"}); KindOf(err) != BadRow || !strings.Contains(err.Error(), "90000 bytes of row.max.bytes") {
			t.Errorf("suppliers: %v", err)
		}
		if ids, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil || len(ids) != 1 {
			t.Errorf("invoices: %v, %v", ids, err)
		}
	})
	if _, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", RowBytesOf: map[string]int64{"invoices": -1}}); err == nil {
		t.Error("a bound below 1 is taken")
	}
}

// What is done with a large row may ask whether ids are there, with the turn of large rows taken.
func TestIDsCanBeAskedForWhileALargeRowIsInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: &fake{api: pages("[" + large(1, 3_000_000) + "]")}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Fetch(t.Context(), Query{Path: "invoices"}, func(Row) error {
			began := time.Now()
			_, err := c.Fetch(t.Context(), Query{Path: "invoices", Fields: `["id"]`}, func(Row) error { return nil })
			if KindOf(err) != BadRow || time.Since(began) > time.Minute {
				t.Errorf("an id of 3 MB: %v after %v", err, time.Since(began))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
