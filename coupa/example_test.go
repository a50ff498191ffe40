package coupa_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

func ExampleClient_MaxID_divided() {
	highest := int64(100_000) // what MaxID returned
	for after := int64(0); after < highest; after += 40_000 {
		through := after + 40_000
		if through >= highest {
			through = 0 // open: a row with a higher id may have come since
		}
		fmt.Println(coupa.Query{Path: "invoices", After: after, Through: through}.Through)
	}
	// Output:
	// 40000
	// 80000
	// 0
}

func ExampleClient_Fetch() {
	c, err := coupa.New(coupa.Config{
		URL: "https://acme.coupahost.com", ClientID: "…", ClientSecret: "…",
		Scopes: coupa.Scopes([]string{"invoices"}), Limiter: coupa.NewLimiter(15),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	now, err := c.Now(ctx)
	if err != nil {
		log.Fatal(err)
	}
	q := coupa.Query{Path: "invoices", Window: coupa.Window{From: now.Add(-time.Hour).Truncate(time.Second), To: now.Truncate(time.Second)}}
	for ended := false; !ended; {
		page, err := c.Fetch(ctx, q, func(r coupa.Row) error {
			fmt.Println(r.ID, r.UpdatedAt)
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		q.After, ended = page.LastID, page.Empty
	}
}

func ExampleKindOf() {
	tenant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
	}))
	defer tenant.Close()
	c, _ := coupa.New(coupa.Config{URL: tenant.URL, ClientID: "id", ClientSecret: "wrong"})
	_, err := c.Fetch(context.Background(), coupa.Query{Path: "invoices", Filter: url.Values{"status": {"approved"}}}, nil)
	fmt.Println(coupa.KindOf(err))
	// Output: misconfigured
}
