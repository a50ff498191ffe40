package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Case is why a row is in its topic, or is not: one of a closed table, see the package's documentation.
type Case string

// facts are what a case follows from.
type facts struct {
	Known
	cfg      *Config
	object   config.Object
	resource coupa.Resource
	now      time.Time

	coupa    Coupa
	coupaErr error
	stampErr error // of the row as Coupa shows it
	unsent   error // why Coupa fails to send it, though it gives its id

	row     *wanted
	letter  *Record
	rows    Search
	lines   []Search // of topics of lines
	letters Search
}

// rule is a row of the table. The first that holds counts.
type rule struct {
	Case
	holds      func(*facts) bool
	says, next func(*facts) string
}

// rules are the cases in the order in which they are looked at: what can't be known, what Coupa does not
// show, what is in the topic, what keeps the row out for good, what holds the stream up, and what is waited
// for.
var rules = []rule{
	{"no_scope", func(f *facts) bool { return coupa.KindOf(f.coupaErr) == coupa.Scope && f.coupaErr != nil },
		func(f *facts) string { return "Not visible to this client: it may not read " + f.object.Path + "." },
		func(f *facts) string {
			return "Grant the scope that the error names to the API client in Coupa: " + f.coupa.Error
		}},
	{"coupa_unanswered", func(f *facts) bool { return f.coupaErr != nil },
		func(f *facts) string { return "Coupa did not say what the row is now. " + f.has() },
		func(f *facts) string { return "Ask again when Coupa answers: " + f.coupa.Error }},
	{"not_by_id", func(f *facts) bool { return !f.coupa.Asked },
		func(f *facts) string {
			return fmt.Sprintf("Coupa can't be asked for one row of %s by its id: they are below those of %s, and are read with them. %s", f.object.Path, f.resource.Parent, f.has())
		},
		func(f *facts) string {
			return "Compare all of them: coupastream verify --objects " + f.object.Path + "."
		}},

	{"deleted", func(f *facts) bool { return !f.coupa.Shown && f.row.last != nil && f.row.last.Deleted },
		func(f *facts) string {
			return "Deleted: Coupa does not show it any more, and " + f.place() + " says so."
		},
		func(*facts) string { return "Nothing is to be done." }},
	{"blind", func(f *facts) bool { return !f.coupa.Shown && f.Task.Condition == status.Blind },
		func(f *facts) string {
			return fmt.Sprintf("Not visible to this client: Coupa shows it no row of %s at all, although there were some. %s", f.object.Path, f.has())
		},
		func(*facts) string {
			return "See whether the API client still has its scopes, and its user the content groups of these rows; nothing is deleted by it."
		}},
	{"gone_or_hidden", func(f *facts) bool { return !f.coupa.Shown && f.row.last != nil },
		func(f *facts) string {
			return "Coupa does not show it: it was deleted, or is hidden from this client; an empty answer can't tell these apart. " + f.has()
		},
		func(f *facts) string {
			switch d := f.Task.Deletes; {
			case d != nil && d.Why != "":
				return "A sweep for deletes waits for approval: " + d.Why + ". Look at what it found (coupastream status " + f.cfg.Connector + "), then coupastream deletes approve " + f.cfg.Connector + " " + f.object.Path + "."
			case d != nil:
				return fmt.Sprintf("The last sweep for deletes ended at %s; if it was deleted since, the next one finds it, and its tombstone follows an overlap later.", orNone(instant(d.Ended)))
			}
			return "Look for it in Coupa as an administrator. If it is there, give the API client's user the rights to see it; if it was deleted, its last record stays."
		}},
	{"not_visible", func(f *facts) bool { return !f.coupa.Shown },
		func(f *facts) string {
			return "Not visible to this client: Coupa shows no row of this id, and " + f.nothing() + "."
		},
		func(*facts) string {
			return "Check the id: it is Coupa's internal one, and no number that is printed on a document. If the row is there for an administrator, give the API client's user the rights to see it."
		}},

	{"unsent", func(f *facts) bool { return f.unsent != nil },
		func(f *facts) string {
			return "Coupa gives its id and fails to send more of it. " + f.has()
		},
		func(f *facts) string {
			return "Have Coupa's support look at the row. With errors.tolerance=all and a dead letter topic the object goes on behind it, and asks for it again every ten minutes. Coupa says: " + f.coupa.Error
		}},
	{"no_such_version", func(f *facts) bool {
		return !f.row.version.IsZero() && (f.updatedAt().IsZero() || f.row.version.After(f.updatedAt()))
	},
		func(f *facts) string {
			return fmt.Sprintf("Coupa shows no version of %s: it has the row as of %s.", at(f.row.version), orNone(f.coupa.UpdatedAt))
		},
		func(*facts) string { return "Give the updated-at of a version that there was, or none." }},
	{"version_published", func(f *facts) bool { return f.row.exact != nil && f.isEarlier() },
		func(f *facts) string {
			return fmt.Sprintf("Published at %s: the version of %s is in %s.", at(f.row.exact.Written), at(f.row.version), f.row.exact.place())
		},
		func(*facts) string { return "Nothing is to be done." }},
	{"version_dead_letter", func(f *facts) bool { return f.isEarlier() && f.letter.stamp().Equal(f.row.version) && f.letter != nil },
		func(f *facts) string { return f.died() },
		func(f *facts) string {
			return "Nothing is to be done if the later version is in the topic; a replay passes this letter over."
		}},
	{"passed_over", func(f *facts) bool {
		return f.isEarlier() && f.rows.Error == "" && (f.row.older || f.rows.Through)
	},
		func(f *facts) string {
			return fmt.Sprintf("Passed over: the row was saved again at %s before the version of %s was read, and a row is published as it is when it is read. %s",
				at(f.updatedAt()), at(f.row.version), f.has())
		},
		func(*facts) string {
			return "Nothing is to be done: Coupa does not give earlier versions. Polls that are closer together (poll.interval.ms) pass over fewer."
		}},
	{"topic_unread", func(f *facts) bool { return f.row.last == nil && f.rows.Error != "" },
		func(f *facts) string {
			if f.knows() {
				return fmt.Sprintf("Published, as the ledger says, in Coupa's version of %s; topic %s could not be read.", at(f.updatedAt()), f.object.Topic)
			}
			return "Nothing tells whether it is in the topic, which could not be read."
		},
		func(f *facts) string {
			return fmt.Sprintf("Let the worker's user read topic %s (ACL Read), or mend what keeps it from that: %s", f.object.Topic, f.rows.Error)
		}},
	{"further_back", func(f *facts) bool {
		if f.rows.Through {
			return false
		}
		return f.isEarlier() || f.row.last == nil && (f.knows() || f.reader() == byNone && !f.isBeforeInitial())
	},
		func(f *facts) string {
			if f.knows() && !f.isEarlier() {
				return fmt.Sprintf("Published, as the ledger says, in Coupa's version of %s; its record lies further back than was searched.", at(f.updatedAt()))
			}
			return "Not found: what could be its record lies further back than was searched, and the ledger does not go back so far."
		},
		func(*facts) string { return "Search more of the topic: --search, e.g. 10GiB." }},

	{"set_back", func(f *facts) bool {
		return f.isLive() && f.row.last.stamp().After(f.updatedAt()) && !f.updatedAt().IsZero()
	},
		func(f *facts) string {
			return fmt.Sprintf("The topic has a later version than Coupa shows: %s, Coupa the one of %s. A server of Coupa's lags behind, or the row's updated-at was set back.", f.place(), at(f.updatedAt()))
		},
		func(f *facts) string {
			return fmt.Sprintf("Wait for overlap.ms: if Coupa shows this version still, a poll publishes it. If its updated-at was set back by more than half of %s, publish it: %s", f.object.Overlap, f.snapshot())
		}},
	{"published", func(f *facts) bool { return f.isCurrent() && len(f.behind()) == 0 },
		func(f *facts) string {
			said := fmt.Sprintf("Published at %s: %s.", at(f.row.last.Written), f.place())
			if f.updatedAt().IsZero() {
				return said + fmt.Sprintf(" The row has no updated-at, so that nothing shows whether it has changed since; that is compared every %s.", f.object.Reread)
			}
			return said + " It is Coupa's version of now."
		},
		func(*facts) string {
			return "Nothing is to be done. A consumer that does not see it is behind, or reads another partition, topic or cluster."
		}},

	{"dead_letter", func(f *facts) bool { return f.isBuried() },
		func(f *facts) string { return f.died() },
		func(f *facts) string {
			return fmt.Sprintf("Mend what it says, then send it again: coupastream replay with the file of %s. The row's next change is tried by itself.", f.cfg.Connector)
		}},
	{"unreadable", func(f *facts) bool { return f.stampErr != nil },
		func(f *facts) string {
			return "Not published: " + f.stampErr.Error() + ", so that it has no place among the row's versions."
		},
		func(*facts) string { return "Correct the row in Coupa." }},
	{"passed", (*facts).isPassed,
		func(*facts) string {
			return "Waits to be asked for once more: Coupa failed to send it, the object went on behind it, and now Coupa sends it."
		},
		func(*facts) string { return "Wait: such rows are asked for again every ten minutes." }},
	{"expired", func(f *facts) bool { return f.knows() && !f.isCurrent() && !(f.row.last != nil && f.row.last.Deleted) },
		func(f *facts) string {
			why := "retention has taken it, or it was taken out by hand"
			if f.isRemade() {
				why = "the topic was deleted and made again"
			}
			if f.rows.Missing {
				why = "there is no such topic now"
			}
			return fmt.Sprintf("It was published in Coupa's version of %s, as the ledger says, and topic %s does not hold it any more: %s.", at(f.updatedAt()), f.object.Topic, why)
		},
		func(f *facts) string {
			if f.isRemade() {
				return status.RemadeRemedy(&f.object)
			}
			return "Publish it once more: " + f.snapshot() + " A topic that is to keep each row's last version needs cleanup.policy=compact."
		}},
	{"exported", func(f *facts) bool { return f.coupa.Exported && f.object.ReadsUnexported() && !f.isCurrent() },
		func(f *facts) string {
			return fmt.Sprintf("Not published: it is marked as exported in Coupa, and exported.mode=%s reads rows that are not. %s", f.object.ExportedMode, f.has())
		},
		func(f *facts) string {
			return "To have it as it is now: " + f.snapshot() + " Who wants all changes writes exported.mode = off."
		}},
	{"before_initial_from", (*facts).isBeforeInitial,
		func(f *facts) string {
			from := "latest: only what changed after the stream began is published"
			if !f.object.InitialFrom.Latest {
				from = at(f.object.InitialFrom.At)
			}
			return fmt.Sprintf("Not published: Coupa's version of %s lies before initial.from, which is %s.", at(f.updatedAt()), from)
		},
		func(f *facts) string { return "Its next change is published. To have it as it is now: " + f.snapshot() }},
	{"nothing_reads", func(f *facts) bool { return f.reader() == byNone },
		func(f *facts) string {
			what, mark := "Not published", f.mark()
			if f.isCurrent() {
				what, mark = "The row is published, and later changes of its lines are not", f.Position.Lines
			}
			return fmt.Sprintf("%s, and nothing reads it again: it became visible behind the mark (%s), and its stamp %s lies beyond look-backs (lookback.ms is %s) and ledger (from %s).",
				what, at(mark), at(f.since()), f.object.Lookback, at(f.Position.Floor))
		},
		func(f *facts) string {
			return "Publish it: " + f.snapshot() + " If rows come so late more often, raise lookback.ms."
		}},

	{"stopped", func(f *facts) bool { return f.Task.State == status.Stopped },
		func(f *facts) string { return "Waits: the connector is STOPPED. " + f.then() },
		func(f *facts) string { return "coupastream resume " + f.cfg.Connector }},
	{"paused", func(f *facts) bool { return f.Task.State == status.Paused },
		func(f *facts) string { return "Waits: the connector is PAUSED. " + f.then() },
		func(f *facts) string { return "coupastream resume " + f.cfg.Connector }},
	{"unassigned", func(f *facts) bool { return f.Task.State == status.Unassigned },
		func(f *facts) string { return "Waits: no worker has begun with the object yet. " + f.then() },
		func(*facts) string {
			return "Ask again in a minute; if that does not change, see whether workers of the group join and leave (coupastream status)."
		}},
	{"circuit_open", func(f *facts) bool { return f.Task.State == status.Failed && f.Task.CircuitOpen },
		func(f *facts) string {
			return fmt.Sprintf("Waits: the object has FAILED so often that it is tried about hourly, next at %s. %s", at(f.Task.NextTry), f.then())
		},
		func(f *facts) string {
			return fmt.Sprintf("Mend what it says, then restart it: coupastream restart %s. It says: %s", f.cfg.Connector, f.Task.Trace)
		}},
	{"failed", func(f *facts) bool { return f.Task.State == status.Failed },
		func(f *facts) string {
			return fmt.Sprintf("Waits: the object has FAILED and is tried again at %s. %s", at(f.Task.NextTry), f.then())
		},
		func(f *facts) string { return "Mend what it says: " + f.Task.Trace }},
	{"throttled", func(f *facts) bool { return f.Task.Condition == status.Throttled || !f.Slowed.IsZero() },
		func(f *facts) string {
			return "Waits for the rate budget: Coupa slows this client down, or a quota of Kafka's holds records back. " + f.then()
		},
		func(f *facts) string {
			return "It goes on by itself. See what else uses the instance's 25 requests a second, and coupa.rate.limit. " + f.Task.Trace
		}},
	{"held_up", func(f *facts) bool { return f.Task.Trace != "" },
		func(f *facts) string { return "Waits: the object is held up. " + f.then() },
		func(f *facts) string { return "It goes on by itself once this is over: " + f.Task.Trace }},

	{"waits_begin", func(f *facts) bool { return f.reader() == byBegin },
		func(*facts) string { return "Waits: the stream has no position yet, and begins by initial.from." },
		func(*facts) string { return "Ask again in a minute." }},
	{"waits_reading", func(f *facts) bool { return f.reader() == byReading },
		func(f *facts) string {
			return fmt.Sprintf("Waits for the next reading of all rows: %s have no updated-at, and are read whole every %s.", f.object.Path, f.object.Reread)
		},
		func(*facts) string { return "Wait for that; reread.interval.ms sets how often it is." }},
	{"waits_search", func(f *facts) bool { return f.reader() == bySearch },
		func(f *facts) string {
			return "Waits for a search through all rows: it has no updated-at, where others of the object have one, and no poll finds it."
		},
		func(f *facts) string {
			return "Give it an updated-at by saving it in Coupa, or wait for the search, which goes at the pace of look-backs."
		}},
	{"waits_backfill", func(f *facts) bool { return f.reader() == byBackfill },
		func(f *facts) string {
			return "Waits for the backfill, which has not come to it: " + f.progress() + "."
		},
		func(*facts) string {
			return "Wait for it: status has how much is left. To have the row now, ask for a snapshot of its id when the backfill is over."
		}},
	{"waits_split", func(f *facts) bool { return f.reader() == bySplit },
		func(f *facts) string {
			return fmt.Sprintf("The row is published, and %d of its lines wait for the walk that publishes lines of what was there before: %s.", len(f.behind()), f.progress())
		},
		func(*facts) string { return "Wait for it: status has how much is left." }},
	{"waits_lines", func(f *facts) bool { return f.reader() == byLines },
		func(f *facts) string {
			return fmt.Sprintf("The row is published, and changes of its lines of %s wait for the next walk by lines (the mark of lines is %s).", at(f.since()), at(f.Position.Lines))
		},
		func(*facts) string {
			return "Ask again in a minute. By poll.interval.ms=auto such walks are as often as lines change."
		}},
	{"waits_look_back", func(f *facts) bool { return f.reader() == byLookBack },
		func(f *facts) string {
			i := f.depth()
			return fmt.Sprintf("Waits for a look-back: it became visible behind the mark (%s), and the look-back of %s, last at %s, finds it when it comes again, about %s.",
				at(f.mark()), f.cfg.LookBacks[i].Depth, at(f.looked(i)), at(f.looked(i).Add(f.cfg.LookBacks[i].Every)))
		},
		func(f *facts) string { return "Wait for that, or publish it now: " + f.snapshot() }},
	{"waits_settle", func(f *facts) bool {
		return f.reader() == byPoll && f.updatedAt().After(f.now.Add(f.Ahead-f.object.Settle))
	},
		func(f *facts) string {
			return fmt.Sprintf("Waits for settle.ms: it was saved less than %s ago, and Coupa may still change it within its second.", f.object.Settle)
		},
		func(*facts) string { return "Ask again in a few seconds." }},
	{"waits_poll", func(*facts) bool { return true },
		func(f *facts) string {
			return fmt.Sprintf("Waits for the next poll: it was saved at %s, the mark is %s, and polls are %s apart now.", at(f.updatedAt()), at(f.mark()), f.Task.Interval.Round(time.Millisecond))
		},
		func(*facts) string {
			return "Ask again in a minute. If it is the same then, and the mark has passed that stamp by more than overlap.ms, run coupastream verify."
		}},
}

// reader is the walk that publishes the row, if nothing holds it up.
type reader uint8

const (
	byNone reader = iota
	byPoll
	byLines
	byBackfill
	bySplit
	byLookBack
	bySearch
	byReading // of all rows
	byBegin
)

func (f *facts) reader() reader {
	pos, at := f.Position, f.since()
	switch lower := clock.Later(f.mark().Add(-f.object.Overlap), pos.Floor); {
	case f.object.IsWhole():
		return byReading
	case pos.Mark.IsZero():
		return byBegin
	case f.isCurrent() && f.isSplitting():
		return bySplit
	case f.isCurrent() && !pos.Lines.IsZero() && !at.Before(clock.Later(pos.Lines.Add(-f.object.Overlap), pos.Floor)):
		return byLines
	case f.isCurrent():
		return byNone
	case f.reachedByBackfill(at):
		return byBackfill
	case at.IsZero():
		return bySearch
	case !at.Before(lower):
		return byPoll
	case f.depth() >= 0:
		return byLookBack
	}
	return byNone
}

// reachedByBackfill tells whether the backfill, or the end of it that it reads once more, has still to come
// to the row.
func (f *facts) reachedByBackfill(at time.Time) bool {
	w := f.Position.Backfill
	if w == nil || w.Kind != checkpoint.Snapshot && w.Kind != checkpoint.Closing {
		return false
	}
	if at.IsZero() { // one from earliest asks for no window
		return w.From.IsZero() && f.inRanges(w)
	}
	within := !at.Before(w.From) && at.Before(w.To)
	return within && (f.inRanges(w) || !at.Before(w.To.Add(-f.object.Overlap)))
}

// depth is which look-back comes to the row first; below 0: none does.
func (f *facts) depth() int {
	if f.since().Before(f.Position.Floor) {
		return -1
	}
	return slices.IndexFunc(f.cfg.LookBacks, func(l LookBack) bool { return !f.since().Before(f.mark().Add(-l.Depth)) })
}

// looked is when the look-back of a depth last ended; zero: never.
func (f *facts) looked(depth int) time.Time {
	if depth < len(f.Position.Looked) {
		return f.Position.Looked[depth]
	}
	return time.Time{}
}

// mark is that of the polls; the committed one may be a little behind.
func (f *facts) mark() time.Time { return clock.Later(f.Position.Mark, f.Task.Mark) }

func (f *facts) inRanges(w *checkpoint.Walk) bool {
	return slices.ContainsFunc(w.Ranges, func(r checkpoint.Range) bool {
		return f.cfg.ID > r.After && (r.Through == 0 || f.cfg.ID <= r.Through)
	})
}

func (f *facts) isSplitting() bool {
	w := f.Position.Backfill
	return w != nil && w.Kind == checkpoint.Split && f.inRanges(w)
}

func (f *facts) isPassed() bool { return slices.Contains(f.Position.Passed, f.cfg.ID) }

func (f *facts) isRemade() bool {
	return slices.ContainsFunc(f.Position.Topics, func(t checkpoint.Topic) bool { return t.Name == f.object.Topic && !t.Remade.IsZero() })
}

// updatedAt is the row's, as Coupa shows it; zero: it has none, or Coupa shows no row.
func (f *facts) updatedAt() time.Time {
	if f.coupa.UpdatedAt == nil {
		return time.Time{}
	}
	return *f.coupa.UpdatedAt
}

// isEarlier tells whether a version was asked for that is not Coupa's of now.
func (f *facts) isEarlier() bool {
	return !f.row.version.IsZero() && !f.row.version.Equal(f.updatedAt())
}

// isLive tells whether the topic holds the row, in whatever version.
func (f *facts) isLive() bool { return f.row.last != nil && !f.row.last.Deleted }

// isCurrent tells whether the topic holds it as of Coupa's stamp. Two versions of one second look alike.
func (f *facts) isCurrent() bool { return f.isLive() && f.row.last.stamp().Equal(f.updatedAt()) }

// knows tells whether the ledger has Coupa's version.
func (f *facts) knows() bool {
	at := f.updatedAt()
	return slices.ContainsFunc(f.Entries, func(e checkpoint.Entry) bool {
		if at.IsZero() {
			return e.UpdatedAt == 0
		}
		return e.UpdatedAt == at.Unix()
	})
}

// since is the stamp that a walk would find the row by: its own, or where just its lines are missing, theirs.
func (f *facts) since() time.Time {
	if !f.isCurrent() {
		return f.updatedAt()
	}
	var newest time.Time
	for _, l := range f.behind() {
		if l.UpdatedAt != nil {
			newest = clock.Later(newest, *l.UpdatedAt)
		}
	}
	return newest
}

// behind are lines that have changed since the row, or where they have topics, they themselves, were
// published.
func (f *facts) behind() []Line {
	var all []Line
	for _, l := range f.coupa.Lines {
		if f.isBehind(l) {
			all = append(all, l)
		}
	}
	return all
}

// lineSlack is how much later than its row a line may be stamped without the ledger keeping the row under
// that stamp too: a save may take some seconds. Of such a line the mark of the lines tells.
const lineSlack = time.Minute

func (f *facts) isBehind(l Line) bool {
	topic := f.object.LineTopic(l.List)
	in := f.row.last
	if i := slices.IndexFunc(f.lines, func(s Search) bool { return s.Topic == topic }); i >= 0 {
		if in = l.Record; in == nil {
			return f.lines[i].Through && f.lines[i].Error == ""
		}
	}
	// stamps are cut to seconds, of Coupa's clock
	if l.UpdatedAt == nil || !in.Written.Add(f.Ahead+time.Second).Before(*l.UpdatedAt) {
		return false
	}
	at := *l.UpdatedAt
	if at.Sub(f.updatedAt()) > lineSlack && !at.Before(f.Position.Floor) {
		return !slices.ContainsFunc(f.Entries, func(e checkpoint.Entry) bool { return e.At != e.UpdatedAt && e.At >= at.Unix() })
	}
	return !at.Before(f.Position.Lines)
}

// isBuried tells whether the row's last letter is of what Coupa shows, and came no earlier than its last
// record.
func (f *facts) isBuried() bool {
	if f.letter == nil || f.row.last != nil && f.letter.Written.Before(f.row.last.Written) {
		return false
	}
	return f.letter.UpdatedAt == nil || f.letter.stamp().Equal(f.updatedAt())
}

// isBeforeInitial tells whether the version lies before where the stream began. Nothing keeps when one with
// latest did; what is known is that neither its topic nor its ledger has anything of the row.
func (f *facts) isBeforeInitial() bool {
	from, at := f.object.InitialFrom, f.updatedAt()
	switch {
	case f.row.last != nil || at.IsZero() || f.Position.Mark.IsZero():
		return false
	case from.Latest:
		return f.reader() == byNone && f.rows.Through && at.Before(f.Position.Floor)
	}
	return !from.At.IsZero() && at.Before(from.At.Truncate(time.Second))
}

// has says what the topic has of the row.
func (f *facts) has() string {
	if f.row.last == nil {
		said := f.nothing()
		return strings.ToUpper(said[:1]) + said[1:] + "."
	}
	return "The topic has it: " + f.place() + "."
}

// nothing says that no record of the row was found, and how far that was looked for.
func (f *facts) nothing() string {
	switch {
	case f.rows.Error != "":
		return fmt.Sprintf("topic %s could not be read (%s)", f.object.Topic, f.rows.Error)
	case f.rows.Missing:
		return fmt.Sprintf("there is no topic %s", f.object.Topic)
	case !f.rows.Through:
		return fmt.Sprintf("topic %s has no record of it back to %s", f.object.Topic, orNone(f.rows.Back))
	}
	return fmt.Sprintf("topic %s has no record of it", f.object.Topic)
}

// place says where the last record is, and what it is.
func (f *facts) place() string {
	r := f.row.last
	switch {
	case r.Deleted:
		return fmt.Sprintf("the %s at %s", orDelete(r.Op), r.place())
	case r.UpdatedAt == nil:
		return "the record at " + r.place()
	}
	return fmt.Sprintf("the version of %s at %s", at(*r.UpdatedAt), r.place())
}

func orDelete(op string) string {
	if op == "" {
		return "tombstone"
	}
	return op
}

func (r *Record) place() string {
	return fmt.Sprintf("%s, partition %d, offset %d", r.Topic, r.Partition, r.Offset)
}

// died says why the row is a dead letter.
func (f *facts) died() string {
	return fmt.Sprintf("Dead letter since %s (%s), because: %s", at(f.letter.Written), f.letter.place(), f.letter.Reason)
}

// then says what publishes the row when nothing holds it up.
func (f *facts) then() string {
	switch f.reader() {
	case byBackfill, bySplit:
		return "The backfill publishes it then."
	case byLookBack:
		return "A look-back finds it then."
	case byReading, bySearch:
		return "The next reading of all rows finds it then."
	case byBegin:
		return "It has not begun yet."
	case byLines:
		return "The next walk by lines publishes it then."
	}
	return "The next poll publishes it then."
}

// progress says how far the backfill is.
func (f *facts) progress() string {
	said := fmt.Sprintf("%d rows are read", f.Position.Backfill.Rows)
	if p := f.Task.Progress; p.Total > 0 {
		said += fmt.Sprintf(" of about %d", p.Total)
		if p.Left > 0 {
			said += fmt.Sprintf(", and it takes about %s more", p.Left.Round(time.Second))
		}
	}
	return said
}

// snapshot is the command that publishes the row as it is.
func (f *facts) snapshot() string {
	return fmt.Sprintf("coupastream snapshot start %s --object %s --ids %d.", f.cfg.Connector, f.object.Path, f.cfg.ID)
}

func at(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func orNone(t *time.Time) string {
	if t == nil {
		return "none"
	}
	return at(*t)
}
