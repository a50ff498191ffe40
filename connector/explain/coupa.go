package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Coupa is the row as Coupa shows it.
type Coupa struct {
	// Asked is false of rows that are below others: Coupa has no request for one of them by its id.
	Asked     bool       `json:"asked"`
	Shown     bool       `json:"shown"`
	UpdatedAt *time.Time `json:"updated_at"`
	LinesAt   *time.Time `json:"lines_updated_at"`   // the newest of its lines'
	Exported  bool       `json:"exported,omitempty"` // where exported.mode passes such rows over
	Lines     []Line     `json:"lines,omitempty"`
	Error     string     `json:"error,omitempty"` // why nothing is known of it, or no more than its id
}

// Line is a line of the row.
type Line struct {
	List      string     `json:"list"`
	ID        int64      `json:"id"`
	UpdatedAt *time.Time `json:"updated_at"`
	// Record is the last one of the line, where lines have topics; null: none was found, or they have none.
	Record *Record `json:"record"`
}

// askCoupa asks for the row by its id, in a turn behind polls. What passes is tried again for a while.
func (f *facts) askCoupa(ctx context.Context) {
	f.coupa, f.coupaErr, f.stampErr, f.unsent = Coupa{Asked: f.resource.Parent == ""}, nil, nil, nil
	if !f.coupa.Asked {
		return
	}
	ctx, stop := context.WithTimeout(ctx, coupaPatience)
	defer stop()
	q := coupa.Query{Path: f.object.Path, IDs: []int64{f.cfg.ID}, Fields: f.fields(), Priority: coupa.PrioritySnapshot}
	for try := 0; ; try++ {
		seen := Coupa{Asked: true}
		_, err := f.cfg.Source.Fetch(ctx, q, func(r coupa.Row) error {
			seen.Shown, seen.UpdatedAt, seen.LinesAt, f.stampErr = true, instant(r.UpdatedAt), instant(r.LinesAt), r.StampErr
			seen.Exported, seen.Lines = f.object.ReadsUnexported() && r.IsExported(), f.linesIn(r.JSON)
			return nil
		})
		if err == nil {
			f.coupa, f.coupaErr = seen, nil
			return
		}
		if f.coupaErr == nil || ctx.Err() == nil { // what Coupa said tells more than that no time is left
			f.coupaErr, f.coupa.Error = err, err.Error()
		}
		if coupa.Overtaxed(err) && try > 0 && f.askID(ctx) {
			return
		}
		if !status.IsTemporary(err) || !clock.Sleep(ctx, patience.Delay(try, coupa.RetryAfter(err))) {
			return
		}
	}
}

// askID tells whether Coupa gives the id of the row, of which it has failed to send more.
func (f *facts) askID(ctx context.Context) bool {
	page, err := f.cfg.Source.Fetch(ctx, coupa.Query{Path: f.object.Path, IDs: []int64{f.cfg.ID}, Fields: `["id"]`, Priority: coupa.PrioritySnapshot},
		func(coupa.Row) error { return nil })
	if err != nil || page.Rows == 0 {
		return false
	}
	f.coupa.Shown, f.unsent, f.coupaErr = true, f.coupaErr, nil
	return true
}

var patience = clock.Backoff{Base: time.Second, Max: 5 * time.Second}

// fields asks for ids and stamps alone.
func (f *facts) fields() string {
	if !f.resource.UpdatedAt {
		return `["id"]`
	}
	b := `["id","updated_at"`
	if f.object.ReadsUnexported() {
		b += `,"exported"`
	}
	for _, list := range f.lists() {
		if list == f.resource.Lines {
			b += fmt.Sprintf(`,{%q:["id","updated_at"]}`, list)
		} else {
			b += fmt.Sprintf(`,{%q:["id"]}`, list)
		}
	}
	return b + "]"
}

// lists are those that have stamps, or topics, as their fields are named.
func (f *facts) lists() []string {
	var all []string
	if f.resource.Lines != "" {
		all = append(all, f.resource.Lines)
	}
	for _, topic := range f.object.LineTopics() {
		if list := strings.TrimPrefix(topic, f.object.LineTopic("")); list != f.resource.Lines {
			all = append(all, list)
		}
	}
	return all
}

// linesIn are the ids and stamps of a row's lines. A list that can't be read as one has none.
func (f *facts) linesIn(row []byte) []Line {
	var members map[string]json.RawMessage
	if json.Unmarshal(row, &members) != nil {
		return nil
	}
	var all []Line
	for _, list := range f.lists() {
		text, there := members[strings.ReplaceAll(list, "_", "-")]
		if !there {
			text = members[list]
		}
		var lines []struct {
			ID         int64  `json:"id"`
			Hyphened   string `json:"updated-at"`
			Underlined string `json:"updated_at"`
		}
		if json.Unmarshal(text, &lines) != nil {
			continue
		}
		for _, l := range lines {
			at, _ := time.Parse(time.RFC3339, l.Hyphened+l.Underlined) // what is no instant is told as none
			all = append(all, Line{List: list, ID: l.ID, UpdatedAt: instant(at)})
		}
	}
	return all
}
