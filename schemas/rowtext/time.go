package rowtext

// Coupa's times are RFC 3339 with the company's offset ("2024-04-01T00:00:00+03:00"),
// in whole seconds as far as samples show. Read beside that: a fraction, z and t in
// lower case, a blank for the T, an offset without its colon, and a bare date.

const msPerDay = 24 * 60 * 60 * 1000

// ParseInstant gives milliseconds since 1970, floored. A bare
// date is its midnight in UTC; a time of day needs an offset.
func ParseInstant(text []byte) (int64, bool) {
	day, rest, ok := parseDay(text)
	if !ok || len(rest) == 0 {
		return day * msPerDay, ok
	}
	ms, rest, ok := parseClock(rest)
	if !ok {
		return 0, false
	}
	minutes, ok := parseOffset(rest)
	return day*msPerDay + ms - minutes*60_000, ok
}

// The first and the last millisecond of the years 1 to 9999 in UTC.
const (
	firstInstant = -62_135_596_800_000
	lastInstant  = 253_402_300_799_999
)

// InReach tells that readers can have the instant, in milliseconds since 1970: within the years
// 1 to 9999 in UTC. Beyond them Python has no time, and RFC 3339 no text. What Coupa writes as
// 9999-12-31T23:59:59-08:00 is beyond.
func InReach(ms int64) bool { return ms >= firstInstant && ms <= lastInstant }

// ParseDate gives days since 1970 of the calendar day as written: Coupa sends dates as
// midnight, or the last second, of the day at the company's offset, so another offset's
// day would be wrong. What follows must still be a time of day, with an offset or without.
func ParseDate(text []byte) (int64, bool) {
	day, rest, ok := parseDay(text)
	if !ok || len(rest) == 0 {
		return day, ok
	}
	_, rest, ok = parseClock(rest)
	if ok && len(rest) > 0 {
		_, ok = parseOffset(rest)
	}
	return day, ok
}

// parseDay reads YYYY-MM-DD as days since 1970 in the Gregorian calendar.
func parseDay(text []byte) (day int64, rest []byte, ok bool) {
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return 0, nil, false
	}
	century, ok1 := twoDigits(text)
	year, ok2 := twoDigits(text[2:])
	month, ok3 := twoDigits(text[5:])
	d, ok4 := twoDigits(text[8:])
	year += 100 * century
	if !ok1 || !ok2 || !ok3 || !ok4 || month < 1 || month > 12 || d < 1 || d > daysIn(month, year) {
		return 0, nil, false
	}
	return daysSince1970(year, month, d), text[10:], true
}

func daysIn(month, year int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts from March, so that the leap day is the year's last: then the days before
// month m of five months repeat (31, 30, 31, 30, 31), which 153 days in five months express.
func daysSince1970(year, month, day int64) int64 {
	m := month - 3
	if m < 0 {
		m += 12
		year--
	}
	year += 400 // keeps the divisions below exact for the year before 0000-03-01
	return 365*year + year/4 - year/100 + year/400 + (153*m+2)/5 + day - 1 - (719468 + 146097)
}

// parseClock reads Thh:mm:ss[.fraction] as milliseconds of the
// day. The second may be 60: a leap second reads as the next one.
func parseClock(text []byte) (ms int64, rest []byte, ok bool) {
	if len(text) < 9 || (text[0]|0x20 != 't' && text[0] != ' ') || text[3] != ':' || text[6] != ':' {
		return 0, nil, false
	}
	hour, ok1 := twoDigits(text[1:])
	minute, ok2 := twoDigits(text[4:])
	second, ok3 := twoDigits(text[7:])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 60 {
		return 0, nil, false
	}
	ms = ((hour*60+minute)*60 + second) * 1000
	rest = text[9:]
	if len(rest) == 0 || rest[0] != '.' {
		return ms, rest, true
	}
	fraction, rest := LeadingDigits(rest[1:])
	for i, unit := 0, int64(100); i < len(fraction) && unit > 0; i, unit = i+1, unit/10 {
		ms += int64(fraction[i]-'0') * unit
	}
	return ms, rest, len(fraction) > 0
}

// parseOffset reads Z, ±hh:mm or ±hhmm as minutes east of UTC.
func parseOffset(text []byte) (minutes int64, ok bool) {
	if len(text) == 1 && text[0]|0x20 == 'z' {
		return 0, true
	}
	colon := len(text) == 6 && text[3] == ':'
	if (len(text) != 5 && !colon) || (text[0] != '+' && text[0] != '-') {
		return 0, false
	}
	h, ok1 := twoDigits(text[1:])
	m, ok2 := twoDigits(text[len(text)-2:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	minutes = h*60 + m
	if text[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

func twoDigits(text []byte) (int64, bool) {
	a, b := text[0]-'0', text[1]-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}
