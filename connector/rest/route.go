package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coupastream/coupastream/connector/rest/security"
)

// maxBody is the largest body that is read: what a record of the config topic may hold.
const maxBody = 1 << 20

// handler carries an operation out.
type handler func(*request) (*answer, error)

// route is an operation on a path; {name} in the path stands for one segment.
type route struct {
	method, path string
	do           handler
	text         bool // it also answers those who don't take JSON
	heedless     bool // what is sent does not matter, nor what is taken; nothing of it is read
}

// request is a request whose path is understood and whose body is read.
type request struct {
	*http.Request
	path map[string]string // segments by the name that the route's path gives them, unescaped
	body []byte
}

// answer is what a request gets. A body that is not []byte is written as JSON; nil is none.
type answer struct {
	status      int
	body        any
	contentType string // "": application/json
	location    string
	instead     http.Handler // writes the answer itself
}

func ok(body any) (*answer, error) { return &answer{status: http.StatusOK, body: body}, nil }

func empty(status int) *answer { return &answer{status: status} }

// ServeHTTP answers one request. There are no redirects from one
// spelling of a path to the other: they would break clients that POST.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if a.ui != nil && (r.URL.Path == "/ui" || strings.HasPrefix(r.URL.Path, "/ui/")) {
		a.ui.ServeHTTP(rw, r)
		return
	}
	if a.ui != nil && r.URL.Path == "/" && security.Reads(r.Method) && wantsPage(r) {
		rw.Header().Set("Vary", "Accept")
		// relative: what stands before the worker may have put a path before its own
		rw.Header().Set("Location", "ui/")
		rw.WriteHeader(http.StatusFound)
		return
	}
	rec := &recorder{ResponseWriter: rw}
	began := a.now()
	a.serve(rec, r)
	a.access(rec, r, began)
}

// serve finds the route and has it answer.
func (a *API) serve(rw http.ResponseWriter, r *http.Request) {
	found, path, err := a.match(r)
	if err != nil {
		send(rw, nil, err)
		return
	}
	var methods []string
	for _, one := range found {
		methods = append(methods, one.method)
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	i := slices.Index(methods, method)
	if slices.Contains(methods, http.MethodGet) {
		methods = append([]string{http.MethodHead}, methods...)
	}
	allow := strings.Join(append(methods, http.MethodOptions), ",")
	switch {
	case r.Method == http.MethodOptions:
		rw.Header().Set("Allow", allow)
		send(rw, &answer{status: http.StatusOK, body: []byte{}}, nil)
		return
	case i < 0:
		rw.Header().Set("Allow", allow)
		send(rw, nil, refusal(http.StatusMethodNotAllowed))
		return
	}
	req := &request{Request: r, path: path}
	if !found[i].heedless {
		if err := req.read(rw, found[i].text); err != nil {
			send(rw, nil, err)
			return
		}
	}
	got, err := found[i].do(req)
	if err == nil && got.instead != nil {
		got.instead.ServeHTTP(rw, r)
		return
	}
	send(rw, got, err)
}

// match gives the routes of a path, one per method, and the segments that the path names.
func (a *API) match(r *http.Request) ([]route, map[string]string, error) {
	escaped := r.URL.EscapedPath()
	if strings.Contains(escaped, "//") {
		return nil, nil, &apiError{http.StatusBadRequest, "Ambiguous URI empty segment"}
	}
	given := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	for i, s := range given {
		plain, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(plain) {
			return nil, nil, &apiError{http.StatusBadRequest, "The path holds an escape that is not UTF-8"}
		}
		given[i] = plain
	}
	var found []route
	var path map[string]string
	for _, one := range a.routes {
		if values, matches := segments(one.path, given); matches {
			found, path = append(found, one), values
		}
	}
	if len(found) == 0 {
		return nil, nil, refusal(http.StatusNotFound)
	}
	return found, path, nil
}

func segments(pattern string, given []string) (map[string]string, bool) {
	parts := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	if len(parts) != len(given) {
		return nil, false
	}
	values := map[string]string{}
	for i, part := range parts {
		if name, wild := strings.CutPrefix(part, "{"); wild {
			if given[i] == "" {
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = given[i]
		} else if part != given[i] {
			return nil, false
		}
	}
	return values, true
}

// read checks what is sent and asked for, and reads the body.
// text tells that the route also answers those who don't take JSON.
func (r *request) read(rw http.ResponseWriter, text bool) error {
	if !security.Reads(r.Method) && r.Method != http.MethodDelete {
		kind := r.Header.Get("Content-Type")
		if kind == "" && r.ContentLength != 0 || kind != "" && !isJSON(kind) {
			return refusal(http.StatusUnsupportedMediaType)
		}
	}
	if !text && !accepts(r.Request) {
		return refusal(http.StatusNotAcceptable)
	}
	if security.Reads(r.Method) {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &apiError{http.StatusRequestEntityTooLarge, "The body is larger than " + strconv.Itoa(maxBody) + " bytes"}
	}
	if err != nil {
		return &apiError{http.StatusBadRequest, "The body could not be read: " + err.Error()}
	}
	r.body = body
	return nil
}

func isJSON(kind string) bool {
	media, params, err := mime.ParseMediaType(kind)
	charset := strings.ToLower(params["charset"])
	return err == nil && media == "application/json" && (charset == "" || charset == "utf-8" || charset == "us-ascii")
}

// accepts tells whether the client takes JSON.
func accepts(r *http.Request) bool {
	header := r.Header.Values("Accept")
	if len(header) == 0 {
		return true
	}
	for media, q := range ranges(header) {
		if q > 0 && (media == "*/*" || media == "application/*" || media == "application/json") {
			return true
		}
	}
	return false
}

// wantsPage tells a browser from a tool: Java's HttpURLConnection,
// which many clients of Connect are made with, asks for text/html too.
func wantsPage(r *http.Request) bool {
	accepted := ranges(r.Header.Values("Accept"))
	return accepted["text/html"] > 0 && accepted["application/xhtml+xml"] > 0
}

// ranges gives the media ranges of Accept headers with their weights.
func ranges(header []string) map[string]float64 {
	all := map[string]float64{}
	for entry := range strings.SplitSeq(strings.Join(header, ","), ",") {
		media, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		if err != nil {
			q = 1
		}
		all[media] = q
	}
	return all
}

// errorOf is an error as it is answered.
func errorOf(err error) *apiError {
	if e, known := errors.AsType[*apiError](err); known {
		return e
	}
	return &apiError{http.StatusInternalServerError, err.Error()}
}

// send writes an answer, or the error in its place.
func send(rw http.ResponseWriter, a *answer, err error) {
	if err != nil {
		e := errorOf(err)
		a = &answer{status: e.Code, body: e}
	}
	if a.location != "" {
		rw.Header().Set("Location", a.location)
	}
	body, raw := a.body.([]byte)
	if a.body != nil && !raw {
		body, err = encode(a.body)
		if err != nil {
			a, body = &answer{status: http.StatusInternalServerError}, []byte(`{"error_code":500,"message":"The answer can't be written as JSON"}`)
		}
	}
	if body != nil {
		kind := a.contentType
		if kind == "" {
			kind = "application/json"
		}
		rw.Header().Set("Content-Type", kind)
	}
	if a.status != http.StatusNoContent {
		rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	rw.WriteHeader(a.status)
	_, _ = rw.Write(body)
}

// encode writes JSON as Connect does: without escapes for HTML, without a line break.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// isTrue is Java's Boolean.valueOf: "true" in any letter case, and nothing else.
func (r *request) isTrue(param string) bool {
	return strings.EqualFold(r.URL.Query().Get(param), "true")
}
