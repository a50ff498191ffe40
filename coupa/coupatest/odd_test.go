package coupatest

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestALongRequestLineIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 2, MaxLine: 200})
		longest := strings.Repeat("x", 200-len("GET /api/users?login= HTTP/1.1"))
		if status, _, _ := r.do(http.MethodGet, "/api/users?login="+longest, nil, nil); status != 200 {
			t.Errorf("a line of 200 bytes: %d", status)
		}
		status, body, header := r.do(http.MethodGet, "/api/users?login="+longest+"x", nil, nil)
		if status != 414 || header.Get("Content-Type") != htmlType || !strings.Contains(string(body), "414") {
			t.Errorf("a line of 201 bytes: %d %s", status, body)
		}
		if asked := r.tenant.Requests(); asked[0].Line != 200 || asked[1].Line != 201 {
			t.Errorf("requests %+v", asked)
		}
	})
}
