package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRecordsOfACommit(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := parseTime(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	c := Commit{
		Stream:    acme,
		Retention: week,
		Position: Position{
			Seq: 12, Mark: at("2026-11-23T19:00:00Z"), Lines: at("2026-11-23T18:30:00Z"), Floor: at("2026-11-16T19:00:00Z"),
			Looked:   []time.Time{at("2026-11-23T18:00:00Z"), {}},
			Walk:     &Walk{From: at("2026-11-23T18:59:00Z"), To: at("2026-11-23T19:00:28Z"), Ranges: []Range{{After: 1500}}, Rows: 1500},
			Backfill: &Walk{Kind: Snapshot, To: at("2026-11-20T00:00:00Z"), Ranges: []Range{{0, 50}, {70, 0}}, Rows: 9},
			Topics:   []Topic{{Name: "coupa.invoices", ID: [16]byte{0x2c, 0x5f, 2, 0xab, 0x23, 0x2c, 0x43, 0x4c, 0x99, 0xf2, 0x45, 6, 0x7f, 0x66, 0xd4, 0x4e}, Partitions: 3}},
		},
		Entries: []Entry{
			{ID: 9, At: noon, UpdatedAt: noon, Digest: 3},
			{ID: 7, At: noon - day, UpdatedAt: noon - 3*day, Digest: 1},
			{ID: 9, At: noon, UpdatedAt: noon, Digest: 2},
			{ID: 9, At: noon, UpdatedAt: noon, Digest: 3},
		},
		Rows:    []RowState{{ID: 17, Lines: []Line{{"tax_lines", 1, 1}}}, {ID: 9}, {ID: 17, Lines: []Line{{"tax_lines", 300, 1}, {"a", 7, 2}, {"tax_lines", 2, 3}}}},
		Expired: []ChunkKey{{Stream: acme, Until: at("2026-11-16T00:00:00Z").Unix(), Seq: 3}},
	}
	records, err := c.Records("checkpoints", 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ key, value string }{
		{`{"v":1,"type":"ledger","tenant":"acme","object":"invoices","until":"2026-11-16T00:00:00Z","seq":3}`, ""},
		{`{"v":1,"type":"ledger","tenant":"acme","object":"invoices","until":"2026-11-23T00:00:00Z","seq":12}`, string(encodeChunk([]Entry{{7, noon - day, noon - 3*day, 1}}))},
		{`{"v":1,"type":"ledger","tenant":"acme","object":"invoices","until":"2026-11-24T00:00:00Z","seq":12}`, string(encodeChunk([]Entry{{9, noon, noon, 2}, {9, noon, noon, 3}}))},
		{`{"v":1,"type":"row","tenant":"acme","object":"invoices","id":9}`, ""},
		{`{"v":1,"type":"row","tenant":"acme","object":"invoices","id":17}`, "\x01" + "\x01a\x01\x07\x00\x00\x00\x00\x00\x00\x00\x02" + "\x09tax_lines\x02\x02\x00\x00\x00\x00\x00\x00\x00\x03\xaa\x02\x00\x00\x00\x00\x00\x00\x00\x01"},
		{`{"v":1,"type":"position","tenant":"acme","object":"invoices"}`, `{"seq":12,"mark":"2026-11-23T19:00:00Z","lines":"2026-11-23T18:30:00Z","floor":"2026-11-16T19:00:00Z","looked":["2026-11-23T18:00:00Z",""],` +
			`"walk":{"kind":"poll","from":"2026-11-23T18:59:00Z","to":"2026-11-23T19:00:28Z","ranges":[[1500,0]],"rows":1500},` +
			`"backfill":{"kind":"snapshot","to":"2026-11-20T00:00:00Z","ranges":[[0,50],[70,0]],"rows":9},` +
			`"topics":[{"name":"coupa.invoices","id":"LF8CqyMsQ0yZ8kUGf2bUTg","partitions":3}]}`},
	}
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, r := range records {
		if string(r.Key) != want[i].key || string(r.Value) != want[i].value || r.Topic != "checkpoints" || r.Partition != 3 {
			t.Errorf("record %d: %s = %q to %s/%d", i, r.Key, r.Value, r.Topic, r.Partition)
		}
	}
	if records[0].Value != nil {
		t.Error("the expired chunk has no tombstone")
	}
}

func TestChunkBytes(t *testing.T) {
	t.Parallel()
	got := encodeChunk([]Entry{{ID: 5, At: 64, UpdatedAt: 64, Digest: 1}, {ID: 3, At: 66, UpdatedAt: 60, Digest: 2}})
	want := []byte{1, 2, 0x80, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 3, 12, 0, 0, 0, 0, 0, 0, 0, 2}
	if !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEveryChangeSurvivesItsRecord(t *testing.T) {
	t.Parallel()
	mark := time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)
	odd := Stream{Tenant: `tenant "<ä>/&`, Object: "objects/sub"}
	tests := map[string]change{
		"a position that is drained":   {kind: move, stream: acme, position: Position{Seq: 1, Mark: mark, Floor: mark.Add(-week)}},
		"a position without a mark":    {kind: move, stream: odd, position: Position{Seq: math.MaxUint64}},
		"a position beside a backfill": {kind: move, stream: acme, position: Position{Seq: 2, Walk: &Walk{Kind: Lines, From: mark}, Backfill: &Walk{Kind: Snapshot, To: mark, Ranges: []Range{{0, 50}, {70, 0}}, Rows: 9}}},
		"a position that closes":       {kind: move, stream: acme, position: Position{Seq: 2, Backfill: &Walk{Kind: Closing, From: mark, Ranges: []Range{{}}}}},
		"a position that looked back":  {kind: move, stream: acme, position: Position{Seq: 2, Mark: mark, Lines: mark.Add(-time.Hour), Looked: []time.Time{mark, {}, mark.Add(-week)}}},
		"a position that never looked": {kind: move, stream: acme, position: Position{Seq: 2, Looked: []time.Time{{}, {}}}},
		"a position in fractions":      {kind: move, stream: acme, position: Position{Seq: 2, Mark: mark.Add(time.Nanosecond), Again: mark.Add(-time.Second)}},
		"a position with requests": {kind: move, stream: acme, position: Position{Seq: 2, Mark: mark, Requests: []Request{
			{ID: "a", State: RequestRunning, Asked: mark, To: mark, Filter: "status=new", Rows: 3, Walk: &Walk{Kind: Asked, To: mark, Ranges: []Range{{50, 0}}, Rows: 50}},
			{ID: "b", State: RequestPaused, Asked: mark, IDs: []int64{4, 9}},
			{ID: "c", State: RequestFailed, Asked: mark, Ended: mark.Add(time.Second), From: mark.Add(-week), Why: "no"},
			{ID: "d", State: RequestDone, Asked: mark, Ended: mark, To: mark, All: true},
		}}},
		"a walk with nothing left": {kind: move, stream: acme, position: Position{Seq: 3, Walk: &Walk{From: mark, To: mark}}},
		"rows that Coupa failed to send, and those without updated-at": {
			kind: move, stream: acme, position: Position{Seq: 4, Passed: []int64{7}, Rounded: mark, Round: &Walk{Kind: Undated, From: mark, Ranges: []Range{{50, 0}}}},
		},
		"what polls have learned":        {kind: move, stream: acme, position: Position{Seq: 5, Mark: mark, Learned: Learned{Rows: 0.412, Lines: 1e-300, Rate: 14.2}}},
		"lines with topics of their own": {kind: move, stream: acme, position: Position{Seq: 3, LineTopics: true, LineEpoch: 7, Moved: []int64{5, 9}, Backfill: &Walk{Kind: Split, To: mark, Ranges: []Range{{1, 0}}}}},
		"topics of rows and lines": {kind: move, stream: acme, position: Position{Seq: 5, Mark: mark, Topics: []Topic{
			{Name: "coupa.invoices", ID: [16]byte{1, 255, 62, 63}, Partitions: 3}, {Name: "coupa.invoices.invoice_lines", Partitions: math.MaxInt32, Remade: mark},
		}}},
		"a sweep that waits": {kind: move, stream: acme, position: Position{Seq: 5, Mark: mark, Sweep: &Sweep{
			Stage: SweepWaiting, Since: mark, Began: mark, Ended: mark.Add(time.Minute), Top: 90, Known: 80, Lost: 41, Why: "too many", Deleted: 3,
			Seen: Sight{Rows: 39, Highest: 88, Oldest: []int64{1, 2}, Scopes: "core.invoice.read", Blind: true}, Last: Sight{Rows: 80},
		}}},
		"a sweep that reads": {kind: move, stream: acme, position: Position{Seq: 5, Mark: mark, Sweep: &Sweep{
			Stage: SweepReading, Purged: true, Began: mark, After: 50, Top: 90, Again: true, Approved: mark,
		}}},
		"a block of ids":                  {kind: block, stream: odd, block: idBlock{Known, 17, []int64{17, 18, math.MaxInt64}}},
		"a block from 0":                  {kind: block, stream: acme, block: idBlock{Gone, 0, []int64{0}}},
		"a block that is gone":            {kind: unblock, stream: acme, block: idBlock{set: Missing, from: 512}},
		"entries that are voided":         {kind: void, stream: acme, chunk: ChunkKey{acme, noon + 1, 4, true}, entries: []Entry{{1, noon, noon, 1}}},
		"voided entries that expired":     {kind: expire, stream: acme, chunk: ChunkKey{acme, noon, 1, true}},
		"a stream that is forgotten":      {kind: forget, stream: acme},
		"a chunk of one":                  {kind: put, stream: odd, chunk: ChunkKey{odd, noon + 1, 4, false}, entries: []Entry{{0, noon, noon, 0}}},
		"a chunk of the widest values":    {kind: put, stream: acme, chunk: ChunkKey{acme, maxUnix + 1, 4, false}, entries: []Entry{{math.MaxInt64, minUnix, minUnix, math.MaxUint64}, {0, maxUnix, maxUnix, 1}, {math.MaxInt64, maxUnix, maxUnix, 1}}},
		"a chunk before 1970":             {kind: put, stream: acme, chunk: ChunkKey{acme, 0, 4, false}, entries: []Entry{{1, -5, -5, 7}, {2, -5, -5, 7}}},
		"a chunk that expired":            {kind: expire, stream: acme, chunk: ChunkKey{acme, noon, 1, false}},
		"a row's state":                   {kind: set, stream: odd, row: RowState{ID: 17, Lines: []Line{{"a", 0, math.MaxUint64}, {"a", math.MaxInt64, 0}, {"b", 0, 1}}}},
		"a row without a state any more":  {kind: unset, stream: acme, row: RowState{ID: math.MaxInt64}},
		"a fence":                         {kind: fence, partition: 0, nonce: "b3f1"},
		"an anchor":                       {kind: anchor, partition: 3, nonce: "b3f1"},
		"a fence of the last partition":   {kind: fence, partition: math.MaxInt32, nonce: ""},
		"a chunk of versions in a second": {kind: put, stream: acme, chunk: ChunkKey{acme, noon + 1, 4, false}, entries: []Entry{{1, noon, noon, 1}, {1, noon, noon, 2}, {1, noon, noon + 9, 0}}},
		"a chunk of lines":                {kind: put, stream: acme, chunk: ChunkKey{acme, noon + 1, 4, false}, entries: []Entry{{1, noon, minUnix, 1}, {1, noon, noon, 1}}},
		"a chunk of entries at one time":  {kind: put, stream: acme, chunk: ChunkKey{acme, noon + 1, 4, false}, entries: []Entry{{1, noon, noon, 1}, {2, noon, noon, 1}, {9, noon, noon, 1}}},
		"a chunk whose ids fall":          {kind: put, stream: acme, chunk: ChunkKey{acme, noon + 9, 4, false}, entries: []Entry{{900, noon, noon, 1}, {2, noon + 1, noon + 1, 1}}},
		"a chunk of a stream at midnight": {kind: put, stream: acme, chunk: ChunkKey{acme, day, 4, false}, entries: []Entry{{1, 0, 0, 1}}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			r := want.record("topic", 1)
			got, err := decode(r.Key, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	t.Parallel()
	position := `{"v":1,"type":"position","tenant":"a","object":"b"}`
	ledger := `{"v":1,"type":"ledger","tenant":"a","object":"b","until":"2026-11-24T00:00:00Z","seq":1}`
	chunk := func(b ...byte) string { return string(b) }
	two := encodeChunk([]Entry{{1, noon, noon, 1}, {2, noon, noon, 1}})
	tests := map[string]struct {
		key, value string
		newer      bool
	}{
		"a key of a newer version":           {`{"v":2,"kind":"x"}`, "", true},
		"a row without an id":                {`{"v":1,"type":"row","tenant":"a","object":"b"}`, "\x01\x01a\x01\x07\x00\x00\x00\x00\x00\x00\x00\x02", false},
		"a row without a line":               {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "\x01", false},
		"a row whose lines are cut off":      {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "\x01\x01a\x01\x07\x00", false},
		"a row whose lists fall":             {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "\x01\x01b\x01\x07\x00\x00\x00\x00\x00\x00\x00\x02\x01a\x01\x07\x00\x00\x00\x00\x00\x00\x00\x02", false},
		"a row with a line twice":            {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "\x01\x01b\x02\x07\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x02", false},
		"a row with a negative id":           {`{"v":1,"type":"row","tenant":"a","object":"b","id":-1}`, "\x01", false},
		"a row of a newer version":           {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "\x02", true},
		"a row with an empty value":          {`{"v":1,"type":"row","tenant":"a","object":"b","id":1}`, "", false},
		"a block of an unknown set":          {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"lent","from":0}`, "\x01\x01\x00", true},
		"a block without a first id":         {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known"}`, "\x01\x01\x00", false},
		"a block of a newer version":         {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known","from":0}`, "\x02\x01\x00", true},
		"a block that is empty":              {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known","from":0}`, "\x01\x00", false},
		"a block with an id twice":           {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known","from":0}`, "\x01\x02\x05\x00", false},
		"a block that is cut off":            {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known","from":0}`, "\x01\x02\x05", false},
		"a block that goes on":               {`{"v":1,"type":"ids","tenant":"a","object":"b","set":"known","from":0}`, "\x01\x01\x05\x05", false},
		"a stage of a newer version":         {position, `{"seq":1,"sweep":{"stage":"asleep"}}`, true},
		"an unknown type":                    {`{"v":1,"type":"lease","tenant":"a","object":"b"}`, "{}", true},
		"an unknown member in the key":       {`{"v":1,"type":"position","tenant":"a","object":"b","zone":"z"}`, "{}", false},
		"something behind the key":           {position + "{}", "{}", false},
		"a position without a tenant":        {`{"v":1,"type":"position","object":"b"}`, `{"seq":1}`, false},
		"a position without a seq":           {position, `{}`, false},
		"a position with an unknown member":  {position, `{"seq":1,"lag":2}`, false},
		"a position with a malformed mark":   {position, `{"seq":1,"mark":"noon"}`, false},
		"a position with a malformed look":   {position, `{"seq":1,"looked":["","noon"]}`, false},
		"a position with a malformed line":   {position, `{"seq":1,"lines":"noon"}`, false},
		"a position with a time beyond 9999": {position, `{"seq":1,"looked":["9999-12-31T23:00:00Z"]}`, false},
		"a walk of an unknown kind":          {position, `{"seq":1,"walk":{"kind":"sweep","ranges":[],"rows":0}}`, true},
		"a walk without a kind":              {position, `{"seq":1,"walk":{"ranges":[],"rows":0}}`, true},
		"a backfill of an unknown kind":      {position, `{"seq":1,"backfill":{"kind":"sweep","ranges":[],"rows":0}}`, true},
		"a backfill with a malformed window": {position, `{"seq":1,"backfill":{"kind":"closing","from":"?","ranges":[],"rows":0}}`, false},
		"a position with a malformed window": {position, `{"seq":1,"walk":{"kind":"snapshot","to":"?","ranges":[],"rows":0}}`, false},
		"an empty position":                  {position, "", false},
		"a topic without partitions":         {position, `{"seq":1,"topics":[{"name":"a"}]}`, false},
		"a topic without a name":             {position, `{"seq":1,"topics":[{"partitions":3}]}`, false},
		"a topic whose id is too short":      {position, `{"seq":1,"topics":[{"name":"a","id":"LF8C","partitions":3}]}`, false},
		"a topic whose id is no base64":      {position, `{"seq":1,"topics":[{"name":"a","id":"!","partitions":3}]}`, false},
		"a topic with a malformed time":      {position, `{"seq":1,"topics":[{"name":"a","partitions":3,"remade":"noon"}]}`, false},
		"a topic with an unknown member":     {position, `{"seq":1,"topics":[{"name":"a","partitions":3,"leader":1}]}`, false},
		"a chunk without an end":             {`{"v":1,"type":"ledger","tenant":"a","object":"b","until":"?","seq":1}`, string(two), false},
		"an empty chunk":                     {ledger, "", false},
		"a chunk of a newer version":         {ledger, chunk(2, 0), true},
		"a chunk that claims too much":       {ledger, chunk(1, 0xff, 0xff, 0xff, 0xff, 0x0f), false},
		"a chunk cut short":                  {ledger, string(two[:len(two)-1]), false},
		"a chunk with a tail":                {ledger, string(two) + "\x00", false},
		"a chunk that holds an entry twice":  {ledger, string(encodeChunk([]Entry{{1, noon, noon, 1}, {1, noon, noon, 1}})), false},
		"a chunk with ids out of order":      {ledger, string(encodeChunk([]Entry{{2, noon, noon, 1}, {1, noon, noon, 1}})), false},
		"a chunk with rows out of order":     {ledger, string(encodeChunk([]Entry{{1, noon, noon, 1}, {1, noon, noon - 1, 2}})), false},
		"a chunk with digests out of order":  {ledger, string(encodeChunk([]Entry{{1, noon, noon, 2}, {1, noon, noon, 1}})), false},
		"a chunk cut within a difference":    {ledger, string(two[:len(two)-digestLen-1]) + "\x80\x80\x80\x80\x80\x80\x80\x80\x80", false},
		"a chunk with a row before year 1":   {ledger, string(encodeChunk([]Entry{{1, noon, minUnix - 1, 1}})), false},
		"a chunk with an endless difference": {ledger, string(encodeChunk([]Entry{{1, noon, math.MinInt64 + noon + 1, 1}})), false},
		"a chunk with a negative id":         {ledger, string(encodeChunk([]Entry{{-1, noon, noon, 1}})), false},
		"a chunk with a time beyond 9999":    {ledger, string(encodeChunk([]Entry{{1, maxUnix + 1, maxUnix + 1, 1}})), false},
		"a chunk with a row of a later day":  {ledger, string(encodeChunk([]Entry{{1, noon + day, noon + day, 1}})), false},
		"a chunk whose ids overflow":         {ledger, string(overflowing()), false},
		"a fence without a partition":        {`{"v":1,"type":"fence"}`, `{"nonce":"x"}`, false},
		"an anchor without a partition":      {`{"v":1,"type":"anchor","nonce":"x"}`, `{}`, false},
		"an anchor without a nonce":          {`{"v":1,"type":"anchor","partition":1}`, `{}`, false},
		"an anchor that says something":      {`{"v":1,"type":"anchor","partition":1,"nonce":"x"}`, `{"seq":1}`, false},
		"a fence that is not JSON":           {`{"v":1,"type":"fence","partition":1}`, `x`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := decode([]byte(tt.key), []byte(tt.value))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if errors.Is(err, ErrNewer) != tt.newer {
				t.Errorf("%v: newer is not %v", err, tt.newer)
			}
			if errors.Is(err, errForeign) {
				t.Errorf("%v: somebody else's", err)
			}
		})
	}
}

func TestRecordsOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "acme", "\x00\x00\x00\x00\x01\x02", "7", "[]", "null", `"v"`, "{}", `{"type":"position"}`, `{"v":"1"}`, `{"v":0}`, `{"v":1.5}`, `{"V":7}`, `{"V":1}`, `{"v":1}`, `{"v":null}`} {
		if _, err := decode([]byte(key), []byte("x")); !errors.Is(err, errForeign) || errors.Is(err, ErrNewer) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// overflowing is a chunk of two entries whose second id is the largest one plus 1.
func overflowing() []byte {
	b := encodeChunk([]Entry{{ID: math.MaxInt64, At: noon, UpdatedAt: noon, Digest: 1}})
	b[1] = 2
	b = binary.AppendVarint(b, 1)
	b = binary.AppendVarint(b, 1)
	b = binary.AppendVarint(b, 0)
	return binary.BigEndian.AppendUint64(b, 1)
}

func TestCommitsThatAreRefused(t *testing.T) {
	t.Parallel()
	good := commitOf(acme, 5, [3]int64{1, 0, 1})
	tests := map[string]struct {
		spoil func(*Commit)
		want  string
	}{
		"seq 0":                          {func(c *Commit) { c.Position.Seq = 0 }, "count a stream's commits from 1"},
		"no tenant":                      {func(c *Commit) { c.Stream.Tenant = "" }, "needs a tenant"},
		"a tenant that is not UTF-8":     {func(c *Commit) { c.Stream.Tenant = "\xff" }, "UTF-8"},
		"a negative id":                  {func(c *Commit) { c.Entries[0].ID = -1 }, "row -1"},
		"a time before year 1":           {func(c *Commit) { c.Entries[0].At = minUnix - 1 }, "years 1 to 9999"},
		"a row's time before year 1":     {func(c *Commit) { c.Entries[0].UpdatedAt = minUnix - 1 }, "years 1 to 9999"},
		"a row's time beyond 9999":       {func(c *Commit) { c.Entries[0].UpdatedAt = maxUnix + 1 }, "years 1 to 9999"},
		"a look-back beyond 9999":        {func(c *Commit) { c.Position.Looked = []time.Time{{}, time.Unix(maxUnix+day, 0)} }, "years 1 to 9999"},
		"lines beyond 9999":              {func(c *Commit) { c.Position.Lines = time.Unix(maxUnix+day, 0) }, "years 1 to 9999"},
		"a backfill beyond 9999":         {func(c *Commit) { c.Position.Backfill = &Walk{To: time.Unix(maxUnix+day, 0)} }, "years 1 to 9999"},
		"a walk of no known kind":        {func(c *Commit) { c.Position.Walk = &Walk{Kind: Undated + 1} }, "WalkKind(7)"},
		"a mark beyond 9999":             {func(c *Commit) { c.Position.Mark = time.Unix(maxUnix+day, 0) }, "years 1 to 9999"},
		"a chunk of another stream":      {func(c *Commit) { c.Expired = []ChunkKey{{Seq: 1}} }, "commit's own stream"},
		"a chunk of the commit":          {func(c *Commit) { c.Expired = []ChunkKey{{Stream: acme, Seq: 5}} }, "only earlier chunks"},
		"a row's state that is too long": {func(c *Commit) { c.Rows = []RowState{{ID: 17, Lines: manyLines(MaxLines + 1)}} }, "at most 50000 fit"},
		"a line twice in a state":        {func(c *Commit) { c.Rows = []RowState{{ID: 17, Lines: []Line{{"a", 1, 1}, {"a", 1, 2}}}} }, "line 1 of a is there twice"},
		"a line with a negative id":      {func(c *Commit) { c.Rows = []RowState{{ID: 17, Lines: []Line{{"a", -1, 1}}}} }, "line -1 of a"},
		"a line of no list":              {func(c *Commit) { c.Rows = []RowState{{ID: 17, Lines: []Line{{"", 1, 1}}}} }, "the name of its list"},
		"a row's state without a row":    {func(c *Commit) { c.Rows = []RowState{{ID: -1}} }, "state of row -1"},
		"more entries than one takes":    {func(c *Commit) { c.Entries = make([]Entry, MaxEntries+1) }, "commit fewer rows"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := good
			c.Entries = append([]Entry{}, good.Entries...)
			tt.spoil(&c)
			_, err := c.Records("topic", 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Ids alternate between the ends, and rows are as much older than their lines as can be.
func TestTheLargestCommitFitsOneRecord(t *testing.T) {
	t.Parallel()
	c := commitOf(acme, 1)
	for i := range int64(MaxEntries) {
		id := i
		if i%2 == 0 {
			id = math.MaxInt64 - i
		}
		c.Entries = append(c.Entries, Entry{ID: id, At: noon - 12*hour + i, UpdatedAt: minUnix, Digest: math.MaxUint64})
	}
	records, err := c.Records("topic", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 {
		t.Fatalf("%d records", len(records))
	}
	if n := len(records[0].Value); n > 1_000_000 || n < MaxEntries*(1+10+6+digestLen) {
		t.Errorf("a record of %d bytes", n)
	}
	if n := len(encodeChunk([]Entry{{0, minUnix, minUnix, 0}, {math.MaxInt64, maxUnix, minUnix, 0}})) - len(encodeChunk([]Entry{{0, minUnix, minUnix, 0}})); n*MaxEntries > 1_000_000 {
		t.Errorf("an entry of %d bytes", n)
	}
}

func TestAClonedPositionSharesNothing(t *testing.T) {
	t.Parallel()
	mark := time.Unix(noon, 0).UTC()
	p := Position{
		Seq: 3, Mark: mark, Lines: mark, Floor: mark, Looked: []time.Time{mark},
		Walk: &Walk{Kind: Lines, Ranges: []Range{{1, 2}}}, Backfill: &Walk{Kind: Snapshot, Ranges: []Range{{3, 4}}},
		Requests: []Request{{ID: "a", State: RequestRunning, IDs: []int64{5}, Walk: &Walk{Kind: Asked, Ranges: []Range{{5, 6}}}}}, LineTopics: true,
		Topics: []Topic{{Name: "a", Partitions: 3}},
	}
	before, c := encodePosition(p), p.Clone()
	if !reflect.DeepEqual(c, p) {
		t.Fatalf("the clone is %+v", c)
	}
	c.Looked[0], c.Walk.Ranges[0].After, c.Backfill.Ranges[0].After, c.Walk.Rows, c.Backfill.Rows = time.Time{}, 9, 9, 9, 9
	c.Topics[0].Partitions = 9
	c.Requests[0].State, c.Requests[0].IDs[0], c.Requests[0].Walk.Ranges[0].After = RequestDone, 9, 9
	if !bytes.Equal(before, encodePosition(p)) {
		t.Errorf("a change of the clone shows: %s", encodePosition(p))
	}
	if empty := (Position{Seq: 1}); !reflect.DeepEqual(empty.Clone(), empty) {
		t.Errorf("the clone of an empty position is %+v", empty.Clone())
	}
}

func TestBucketEnd(t *testing.T) {
	t.Parallel()
	midnight := noon + 12*hour
	tests := map[string]struct {
		at        int64
		retention time.Duration
		want      int64
	}{
		"a week's look-back has days":             {noon, week, midnight},
		"two days are the least that have days":   {noon, 48 * time.Hour, midnight},
		"less has hours":                          {noon, 48*time.Hour - 1, noon + hour},
		"none at all has hours":                   {noon, 0, noon + hour},
		"the end is exclusive":                    {midnight, week, midnight + day},
		"the last second belongs to its own day":  {midnight - 1, week, midnight},
		"a time before 1970 rounds the same way":  {-1, week, 0},
		"a whole day before 1970 has its own end": {-day, week, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := BucketEnd(tt.at, tt.retention); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	for _, c := range []change{
		{kind: move, stream: acme, position: Position{Seq: 2, Mark: time.Unix(noon, 0), Walk: &Walk{Ranges: []Range{{1, 2}}}}},
		{kind: put, stream: acme, chunk: ChunkKey{acme, noon + 1, 2, false}, entries: []Entry{{1, noon, noon, 9}, {2, noon, noon, 9}}},
		{kind: expire, stream: acme, chunk: ChunkKey{acme, noon, 2, false}},
		{kind: fence, partition: 3, nonce: "n"},
		{kind: anchor, partition: 3, nonce: "n"},
		{kind: set, stream: acme, row: RowState{ID: 17, Lines: []Line{{"a", 1, 9}, {"a", 300, 1}, {"b", 1, 0}}}},
	} {
		f.Add(c.key(), c.value(), c.kind == expire)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		}
		c, err := decode(key, value)
		if err != nil {
			return
		}
		again, err := decode(c.key(), c.value())
		if err != nil {
			t.Fatalf("%+v was read, but not what it was written as: %v", c, err)
		}
		if !reflect.DeepEqual(c, again) {
			t.Errorf("read %+v, then %+v", c, again)
		}
	})
}

func manyLines(n int) []Line {
	all := make([]Line, n)
	for i := range all {
		all[i] = Line{"invoice_lines", int64(i), 1}
	}
	return all
}

// The largest state that a commit may carry fits into a record of Kafka's default size.
func TestTheLargestStateOfARow(t *testing.T) {
	t.Parallel()
	lines := manyLines(MaxLines)
	for i := range lines {
		lines[i].ID += math.MaxInt64/2 - MaxLines
		lines[i].ID += int64(i) << 40
	}
	c := Commit{Stream: acme, Position: Position{Seq: 1}, Rows: []RowState{{ID: 1, Lines: lines}}}
	records, err := c.Records("checkpoints", 3)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(records[0].Value); n > 1_000_000 || n < MaxLines*(6+8) {
		t.Errorf("it has %d bytes", n)
	}
}

func FuzzChunk(f *testing.F) {
	f.Add(encodeChunk(nil))
	f.Add(encodeChunk([]Entry{{1, noon, noon, 9}, {2, noon, noon, 9}, {1, noon + 1, noon + 1, 8}}))
	f.Add(overflowing())
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeChunk(b)
		if err != nil {
			return
		}
		again, err := decodeChunk(encodeChunk(entries))
		if err != nil || !reflect.DeepEqual(entries, again) {
			t.Errorf("read %v, then %v (%v)", entries, again, err)
		}
	})
}
