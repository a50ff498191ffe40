package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
)

func text(t *testing.T, root string) (*Levels, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	l, err := New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.Level(math.MinInt), ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}), root)
	if err != nil {
		t.Fatal(err)
	}
	return l, &b
}

func TestALoggerHasTheLevelOfTheNearestNameAboveIt(t *testing.T) {
	l, out := text(t, "warn")
	parent, child, other := l.Logger("connector"), l.Logger("connector.task"), l.Logger("connectors")
	if _, err := l.Set("connector", "debug"); err != nil {
		t.Fatal(err)
	}
	late := l.Logger("connector.late")
	for _, log := range []*slog.Logger{parent, child, late, other} {
		log.Debug("said")
	}
	const want = "level=DEBUG msg=said logger=connector\nlevel=DEBUG msg=said logger=connector.task\nlevel=DEBUG msg=said logger=connector.late\n"
	if out.String() != want {
		t.Errorf("%s\nwant %s", out, want)
	}
}

func TestSettingANameSetsWhatIsBelowIt(t *testing.T) {
	l, _ := text(t, "INFO")
	for _, name := range []string{"a", "a.b", "a.b.c", "ab"} {
		l.Logger(name)
	}
	for _, c := range []struct {
		name, level string
		want        []string
	}{
		{"a.b", "error", []string{"a.b", "a.b.c"}},
		{"a", "TRACE", []string{"a", "a.b", "a.b.c"}},
		{"nobody", "OFF", []string{"nobody"}},
		{Root, "ALL", []string{"a", "a.b", "a.b.c", "ab", "nobody", Root}},
	} {
		got, err := l.Set(c.name, c.level)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		for _, name := range got {
			if have, found := l.Get(name); !found || have.Name != strings.ToUpper(c.level) || have.Modified.IsZero() {
				t.Errorf("%s after %s: %+v, %v", name, c.name, have, found)
			}
		}
	}
}

func TestALevelThatIsInheritedWasNotModified(t *testing.T) {
	l, _ := text(t, "INFO")
	if _, err := l.Set("a", "DEBUG"); err != nil {
		t.Fatal(err)
	}
	l.Logger("a.late")
	if got, _ := l.Get("a.late"); got.Name != "DEBUG" || !got.Modified.IsZero() {
		t.Errorf("%+v", got)
	}
	if all := l.All(); len(all) != 3 || all[Root].Name != "INFO" {
		t.Errorf("%+v", all)
	}
	if _, found := l.Get("b"); found {
		t.Error("a logger that nobody made is there")
	}
}

func TestNamedKeepsAttributesAndTakesTheNamesLevel(t *testing.T) {
	l, out := text(t, "INFO")
	log := l.Logger("connector").With("tenant", "acme")
	if _, err := l.Set("coupa", "DEBUG"); err != nil {
		t.Fatal(err)
	}
	Named(log, "coupa").WithGroup("g").Debug("said", "k", 1)
	if want := "level=DEBUG msg=said tenant=acme logger=coupa g.k=1\n"; out.String() != want {
		t.Errorf("%q\nwant %q", out, want)
	}
	foreign := slog.New(slog.DiscardHandler)
	if Named(foreign, "coupa") != foreign {
		t.Error("a logger of another kind was changed")
	}
}

func TestWhatIsSetFromOutsideIsBounded(t *testing.T) {
	l, _ := text(t, "INFO")
	for i := range 2 * maxSet {
		_, _ = l.Set(fmt.Sprint("made.up.", i), "DEBUG")
	}
	if n := len(l.All()); n > maxSet {
		t.Errorf("%d names are kept", n)
	}
	for _, bad := range []struct{ name, level string }{{strings.Repeat("x", 300), "INFO"}, {"a\nb", "INFO"}, {"a", "LOUD"}} {
		if _, err := l.Set(bad.name, bad.level); err == nil {
			t.Errorf("%q took %q", bad.name, bad.level)
		}
	}
	if _, err := New(slog.DiscardHandler, "LOUD"); err == nil {
		t.Error("a root without a level was made")
	}
}
