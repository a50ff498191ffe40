package security

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origins says which web pages may use the API: its own, and those of the configuration.
type origins struct {
	allowed    []string // "*" for all, which may read
	methods    []string
	protection *http.CrossOriginProtection
}

var usualMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost} // Jetty's, and so Connect's

func newOrigins(allowed, methods []string) (*origins, error) {
	if len(methods) == 0 {
		methods = usualMethods
	}
	o := &origins{allowed: allowed, methods: methods, protection: http.NewCrossOriginProtection()}
	for _, origin := range allowed {
		if origin == "*" {
			continue
		}
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("access.control.allow.origin = %s: %w", origin, err)
		}
	}
	return o, nil
}

// check refuses what the page of another origin may not do. It writes the headers by which the browser
// lets a page see the answer, and tells whether the request was a preflight, which is then answered.
func (o *origins) check(rw http.ResponseWriter, r *http.Request) (answered bool, p *problem) {
	origin := r.Header.Get("Origin")
	if len(o.allowed) > 0 {
		rw.Header().Add("Vary", "Origin")
	}
	named := slices.Contains(o.allowed, origin)
	if origin != "" && (named || slices.Contains(o.allowed, "*")) {
		rw.Header().Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h := rw.Header()
			h.Set("Access-Control-Allow-Methods", strings.Join(o.methods, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept")
			h.Set("Access-Control-Max-Age", "1800")
			rw.WriteHeader(http.StatusOK)
			return true, nil
		}
	}
	if err := o.protection.Check(r); err != nil {
		return false, &problem{status: http.StatusForbidden, message: "a page of another origin may not change anything; list its origin in access.control.allow.origin if it is to"}
	}
	if named && !Reads(r.Method) && !slices.Contains(o.methods, r.Method) {
		return false, &problem{status: http.StatusForbidden, message: "pages of " + origin + " may not use " + r.Method + "; list it in access.control.allow.methods if they are to"}
	}
	return false, nil
}

// checkHost refuses requests to a loopback listener under a name that is
// not this machine's. A browser that sends one was told by somebody's name
// server that his host is here, and takes the API for a part of his page.
func checkHost(host string, allowed []string) *problem {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	addr, err := netip.ParseAddr(name)
	here := err == nil && addr.IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost")
	if here || host == "" || slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, name) }) {
		return nil
	}
	return &problem{status: http.StatusForbidden, message: "the request is for another host than this machine; list the name in rest.allowed.hosts if the worker is reached by it"}
}
