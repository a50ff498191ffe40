package coupa

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTheClockIsNeverAheadOfAServerThatAnsweredLately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		want := func(why string, ahead time.Duration) {
			t.Helper()
			if now, ok := c.now(); !ok || time.Until(now) != ahead {
				t.Errorf("%s: ahead of true time by %v (%v), want %v", why, time.Until(now), ok, ahead)
			}
		}
		say := func(ahead time.Duration) { c.set(time.Now().Add(ahead)) }
		if _, ok := c.now(); ok {
			t.Error("it shows a time that nobody told")
		}
		c.setProvisional(time.Now().Add(-time.Hour))
		want("only the token endpoint spoke", -time.Hour)
		say(10 * time.Minute)
		want("the API spoke: the token endpoint does not count any more", 10*time.Minute)
		c.setProvisional(time.Now().Add(-time.Hour))
		want("a renewed token changes nothing", 10*time.Minute)
		say(0)
		want("a second server is right", 0)
		<-time.After(2 * time.Minute)
		say(10 * time.Minute)
		want("the first one again, while the second is remembered", 0)
		<-time.After(4 * time.Minute)
		say(10 * time.Minute)
		want("the second one is forgotten", 10*time.Minute)
		<-time.After(time.Hour)
		want("nobody spoke for long: the last counts", 10*time.Minute)
	})
}
