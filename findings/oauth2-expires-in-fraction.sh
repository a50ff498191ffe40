#!/bin/sh
# A token answer whose lifetime is written as 3600.0 gives no token.
#
# What one expects: JSON knows one kind of number, so 3600, 3600.0 and 3.6e3 are the same lifetime,
# and 3599.5 is a little less. A server that computes the rest of a lifetime in floating point, or
# whose language writes whole floats with a point, sends such numbers. A client takes the token and
# keeps the whole seconds.
#
# What happens: golang.org/x/oauth2 v0.37.0 (clientcredentials, Go 1.26.8) reads `expires_in` as an
# integer from its text. A point or an exponent makes the whole answer an error, and the access token that
# stands beside it is lost. An integer in quotes, which is no number of JSON, is taken.
#
# Seen:
#
#   golang.org/x/oauth2 v0.37.0
#   expires_in 3600    token, expiry true
#   expires_in "3600"  token, expiry true
#   expires_in 3600.0  oauth2: cannot parse json: strconv.ParseInt: parsing "3600.0": invalid syntax
#   expires_in 3.6e3   oauth2: cannot parse json: strconv.ParseInt: parsing "3.6e3": invalid syntax
#   expires_in 3599.5  oauth2: cannot parse json: strconv.ParseInt: parsing "3599.5": invalid syntax
#
# What to do instead: have the server send whole seconds. Where that can't be had, give the client an
# http.Client (context key oauth2.HTTPClient) whose transport rounds `expires_in` down in the answer's
# body. Don't take "cannot parse json" as a sign that the answer is no JSON.
#
# Needs: go. Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	asTold := true
	for _, answer := range []struct {
		lifetime string
		taken    bool
	}{{"3600", true}, {`"3600"`, true}, {"3600.0", false}, {"3.6e3", false}, {"3599.5", false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"t","token_type":"Bearer","expires_in":%s}`, answer.lifetime)
		}))
		config := clientcredentials.Config{ClientID: "id", ClientSecret: "secret", TokenURL: server.URL}
		token, err := config.Token(context.Background())
		server.Close()
		fmt.Printf("expires_in %-7s ", answer.lifetime)
		if err == nil {
			fmt.Println("token, expiry", !token.Expiry.IsZero())
			asTold = asTold && answer.taken
		} else {
			fmt.Println(err)
			asTold = asTold && !answer.taken && strings.Contains(err.Error(), "cannot parse json")
		}
	}
	if !asTold {
		os.Exit(1)
	}
}
GO
go mod init finding
go get golang.org/x/oauth2@v0.37.0
go list -m golang.org/x/oauth2
go build -o finding .
./finding
