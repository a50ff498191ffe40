package coupatest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

func Example() {
	tenant := coupatest.New(coupatest.Config{
		Objects:   []string{"invoices"},
		Rows:      2,
		TokenHold: -1, // tokens work at once
		Epoch:     time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	client := &http.Client{Transport: &bearer{tenant.Transport(), token(tenant)}}

	tenant.SetMember("invoices", 2, "invoice-number", `"A-17"`)
	resp, err := client.Get("https://acme.coupahost.com/api/invoices?fields=%5B%22id%22,%22invoice_number%22%5D")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	fmt.Println(len(tenant.Versions("invoices")), "versions")
	// Output:
	// [{"id":1,"invoice-number":"INV-000001"},{"id":2,"invoice-number":"A-17"}]
	// 3 versions
}

// bearer adds what every request needs.
type bearer struct {
	next  http.RoundTripper
	token string
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

func token(tenant *coupatest.Tenant) string {
	client := &http.Client{Transport: tenant.Transport()}
	resp, err := client.PostForm("https://acme.coupahost.com/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return ""
	}
	return answer.Token
}
