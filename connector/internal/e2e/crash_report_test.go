//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// tally counts what a run of scenes went through.
type tally struct {
	mu       sync.Mutex
	begun    time.Time
	met      map[string]map[situation]int // kind → situation → incidents
	order    []string                     // kinds in the order in which they are shown
	points   map[string]int               // kills, by point:side
	stops    map[string]int               // zombies, by point:side
	held     map[string]int               // between two steps while something happened, by point:side
	missed   int                          // points that were not reached: at a random moment instead
	scenes   map[class]int
	starts   int // worker processes
	restarts int // SIGTERM between incidents
	ended    int // processes that ended by themselves, as incidents excuse
	records  int
	commits  int
	versions int
	rows     int
	unread   int   // versions that were marked, saved between a look and the mark
	read     int64 // rows that the tenants delivered
	faults   map[string]int
	gaps     map[string][]time.Duration // from a loss to the first record after it
}

func newTally(brokers int) *tally {
	t := &tally{
		begun: time.Now(), met: map[string]map[situation]int{}, points: map[string]int{}, stops: map[string]int{}, held: map[string]int{}, scenes: map[class]int{},
		faults: map[string]int{}, gaps: map[string][]time.Duration{},
	}
	for _, c := range classes(brokers) {
		for _, i := range deck(c) {
			if !slices.Contains(t.order, i.row()) {
				t.order = append(t.order, i.row())
			}
		}
	}
	return t
}

func (t *tally) add(f func(*tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t)
}

// row is the incident's row of the table.
func (i *incident) row() string {
	if i.detail != "" {
		return i.kind.name + ": " + i.detail
	}
	return i.kind.name
}

// count takes in an incident. What did not come to its point was a kill, or a stop, at a random moment.
func (t *tally) count(i *incident) {
	row := i.row()
	switch at := string(i.point) + ":" + i.side; {
	case i.atRandom:
		row = i.kind.missed
		t.missed++
	case strings.Contains(row, whileOpen):
		t.held[at]++
	case i.point != "" && i.kind.missed == zombieAtRandom:
		t.stops[at]++
	case i.point != "":
		t.points[at]++
	}
	if t.met[row] == nil {
		t.met[row] = map[situation]int{}
	}
	t.met[row][i.found]++
}

// scene takes in what a scene's judge said, and how long its tenants
// were without a worker. A gap counts if no other loss falls into it.
func (t *tally) scene(s *scene, verdicts []verdict, delivered int64) {
	t.scenes[s.class]++
	t.read += delivered
	for _, v := range verdicts {
		t.records += v.Records
		t.commits += v.Commits
		t.versions += v.Versions
		t.rows += v.Rows
		t.unread += v.Unread
		for _, c := range v.counts() {
			t.faults[c.name] += c.n
		}
	}
	for n, l := range s.losses {
		longest := time.Duration(0)
		for _, tenant := range s.tenants {
			first, ok := s.watch.firstAfter(l.at, s.topicsOf(tenant))
			if !ok || n+1 < len(s.losses) && first.After(s.losses[n+1].at) {
				longest = -1
				break
			}
			longest = max(longest, first.Sub(l.at))
		}
		if longest >= 0 {
			how := l.how + ", " + map[bool]string{true: "taken over by another worker", false: "started again at once"}[s.several()]
			t.gaps[how] = append(t.gaps[how], longest)
		}
	}
}

// markdown is the table.
func (t *tally) markdown(p *parts) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	t.writeTotals(&b, p)
	t.writeIncidents(&b)
	t.writePoints(&b)
	t.writeGaps(&b)
	return b.String()
}

func (t *tally) writeTotals(b *strings.Builder, p *parts) {
	scenes, incidents := 0, 0
	for _, n := range t.scenes {
		scenes += n
	}
	for _, found := range t.met {
		for _, n := range found {
			incidents += n
		}
	}
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	line := func(name string, value any) { fmt.Fprintf(b, "| %s | %v |\n", name, value) }
	line("date", time.Now().UTC().Format("2006-01-02"))
	line("seed", p.seed)
	var kinds []string
	for _, c := range classes(p.brokers) {
		kinds = append(kinds, fmt.Sprintf("%s %d", c, t.scenes[c]))
	}
	line("scenes", fmt.Sprintf("%d (%s)", scenes, strings.Join(kinds, ", ")))
	line("incidents", incidents)
	line("worker processes", t.starts)
	line("clean restarts between incidents", t.restarts)
	if t.ended > 0 {
		line("workers that ended since Kafka refused them, and were started again", t.ended)
	}
	line("records published", t.records)
	line("commits whose positions were compared with their rows", t.commits)
	line("versions in the tenants' histories", fmt.Sprintf("%d, of %d rows", t.versions, t.rows))
	line("rows that Coupa delivered", fmt.Sprintf("%d: %.1f times what was published, since polls overlap and what is lost is read again", t.read, float64(t.read)/float64(max(1, t.records))))
	for _, c := range (verdict{}).counts() {
		line("**"+strings.ReplaceAll(c.name, "_", " ")+"**", fmt.Sprintf("**%d**", t.faults[c.name]))
	}
	line("marked unread", t.unread)
	line("time", time.Since(t.begun).Round(time.Second))
	line("machine", machine())
	line("versions", versions())
	b.WriteString("\n")
}

func (t *tally) writeIncidents(b *strings.Builder) {
	b.WriteString("| incident |")
	for _, found := range situations() {
		fmt.Fprintf(b, " %s |", found)
	}
	b.WriteString(" all |\n|---|" + strings.Repeat("--:|", len(situations())+1) + "\n")
	var missing []string
	for _, row := range t.order {
		if len(t.met[row]) == 0 {
			missing = append(missing, row)
			continue
		}
		all := 0
		fmt.Fprintf(b, "| %s |", row)
		for _, found := range situations() {
			all += t.met[row][found]
			fmt.Fprintf(b, " %s |", cmp.Or(strings.TrimPrefix(fmt.Sprint(t.met[row][found]), "0"), "·"))
		}
		fmt.Fprintf(b, " %d |\n", all)
	}
	if missing != nil {
		fmt.Fprintf(b, "\nOf %d kinds %d were not met: %s.\n", len(t.order), len(missing), strings.Join(missing, "; "))
	}
	b.WriteString("\n")
}

func (t *tally) writePoints(b *strings.Builder) {
	b.WriteString("| step | kill -9 before | after | zombie before | after |\n|---|--:|--:|--:|--:|\n")
	for _, p := range steps() {
		before, after := string(p)+":before", string(p)+":after"
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", p, t.points[before], t.points[after], t.stops[before], t.stops[after])
	}
	t.writeHeld(b)
	fmt.Fprintf(b, "\n%d processes did not come to their step in time and were struck at a random moment; they are counted there.\n\n", t.missed)
}

// writeHeld is the table of the steps between which a worker stood while something happened around it.
func (t *tally) writeHeld(b *strings.Builder) {
	if len(t.held) == 0 {
		return
	}
	b.WriteString("\n| step | held before it while brokers were struck | after |\n|---|--:|--:|\n")
	for _, p := range steps() {
		if before, after := t.held[string(p)+":before"], t.held[string(p)+":after"]; before+after > 0 {
			fmt.Fprintf(b, "| %s | %d | %d |\n", p, before, after)
		}
	}
}

func (t *tally) writeGaps(b *strings.Builder) {
	b.WriteString("| from the loss of a worker to the first record after it, of every tenant | measured | median | worst |\n|---|--:|--:|--:|\n")
	for _, how := range slices.Sorted(keys(t.gaps)) {
		gaps := slices.Clone(t.gaps[how])
		slices.Sort(gaps)
		fmt.Fprintf(b, "| %s | %d | %v | %v |\n", how, len(gaps), gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// machine is what all parts of the run shared.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores, %s of memory, Linux %s", runtime.NumCPU(), memory(), strings.TrimSpace(string(kernel)))
}

func memory() string {
	var kib int
	if _, err := fmt.Sscanf(firstLine("/proc/meminfo", "MemTotal:"), "MemTotal: %d kB", &kib); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

// versions are those of the parts.
func versions() string {
	between := func(text, before, after string) string {
		_, text, _ = strings.Cut(text, before)
		text, _, _ = strings.Cut(text, after)
		return cmp.Or(text, "unknown")
	}
	java, _ := exec.Command("java", "-version").CombinedOutput()
	commit, _ := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	return fmt.Sprintf("coupastream %s, Go %s, Apache Kafka %s, Apicurio Registry %s, Java %s",
		cmp.Or(strings.TrimSpace(string(commit)), "unknown"), strings.TrimPrefix(runtime.Version(), "go"),
		cmp.Or(os.Getenv("E2E_KAFKA"), between(firstLine("rig.xml", "<kafka.version>"), ">", "<")),
		between(firstLine("kafka.sh", "registry_version=")+"\n", "=", "\n"), between(string(java), `"`, `"`))
}

// firstLine is a file's first line that holds a text.
func firstLine(path, text string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	return ""
}
