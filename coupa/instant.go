package coupa

import (
	"time"
)

// parseInstant reads the JSON text of an updated-at. Null and "" are the zero time, as for a row without one. Coupa sends whole
// seconds with the offset of the company's zone, or Z (API "Resource Formats"); a fraction would be cut off.
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
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if !ok || t.Day() != day {
		return time.Time{}, false
	}
	return time.Unix(t.Unix()-int64(east), 0).UTC(), true
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

// parseID reads the JSON text of an id: a positive integer, as a number or as a text (Coupa sends some ids as texts).
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
