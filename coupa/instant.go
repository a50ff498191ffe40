package coupa

import (
	"time"
)

// parseInstant reads the JSON text of an updated-at. Null and "" are the zero
// time, as for a row without one. Coupa sends whole seconds with the offset of
// the company's zone, or Z (API "Resource Formats"); a fraction would be cut off.
func parseInstant(value []byte) (t time.Time, ok bool) {
	if len(value) == 0 || string(value) == "null" || string(value) == `""` {
		return time.Time{}, true
	}
	if len(value) < 2 || value[0] != '"' {
		return time.Time{}, false
	}
	text := value[1 : len(value)-1]
	if t, ok := fastInstant(text); ok {
		return t, true
	}
	t, err := time.Parse(time.RFC3339, string(text))
	return t.UTC().Truncate(time.Second), err == nil
}

// fastInstant reads exactly YYYY-MM-DDTHH:MM:SS with Z or ±HH:MM, and nothing else.
func fastInstant(b []byte) (time.Time, bool) {
	if len(b) != len("2006-01-02T15:04:05Z") && len(b) != len("2006-01-02T15:04:05-07:00") {
		return time.Time{}, false
	}
	if b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return time.Time{}, false
	}
	year := two(b)*100 + two(b[2:])
	month, day, hour, minute, second := two(b[5:]), two(b[8:]), two(b[11:]), two(b[14:]), two(b[17:])
	if two(b) < 0 || two(b[2:]) < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, false
	}
	east, ok := offsetSeconds(b[19:])
	if !ok || day > daysIn(year, month) {
		return time.Time{}, false
	}
	seconds := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+minute*60+second-east)
	return time.Unix(seconds, 0).UTC(), true
}

// daysIn returns how many days a month has.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts the days from 1970-01-01 to a valid date of the years 0 to
// 9999. It does what time.Date does, at a fraction of the cost: every line of every row
// has an instant to be read. Years are counted from March, so that a leap day is the
// last of its year and the months before it have lengths that a straight line gives.
func daysSinceEpoch(year, month, day int) int64 {
	const fromMarchOfYear0 = 719468 // days until 1970-01-01
	if month <= 2 {
		year, month = year-1, month+12
	}
	year += 400 // no division of a negative number; 400 years have 146097 days
	return int64(year*365+year/4-year/100+year/400-146097) + int64((153*(month-3)+2)/5+day-1) - fromMarchOfYear0
}

// offsetSeconds reads Z or ±HH:MM as seconds east of UTC.
func offsetSeconds(b []byte) (int, bool) {
	if len(b) == 1 {
		return 0, b[0] == 'Z'
	}
	hour, minute := two(b[1:]), two(b[4:])
	if b[3] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, false
	}
	east := hour*3600 + minute*60
	switch b[0] {
	case '+':
		return east, true
	case '-':
		return -east, true
	}
	return 0, false
}

// two reads two digits; -1 if they are none.
func two(b []byte) int {
	if b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

// parseID reads the JSON text of an id: a positive integer,
// as a number or as a text (Coupa sends some ids as texts).
func parseID(value []byte) (int64, bool) {
	if len(value) > 2 && value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	if len(value) == 0 || len(value) > 18 {
		return 0, false
	}
	var id int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		id = id*10 + int64(c-'0')
	}
	return id, id > 0
}
