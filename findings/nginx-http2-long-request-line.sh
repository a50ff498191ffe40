#!/bin/sh
# One URL that is too long for nginx costs every request of its HTTP/2 connection.
#
# What one expects: nginx answers 414 to a request line above its bound (`large_client_header_buffers`,
# 8 KB by default) over HTTP/1.1. HTTP/2 has the same statuses, and a bad request there concerns its own
# stream only; so the client reads 414 again, and sees that the query has to be shorter.
#
# What happens: nginx 1.22.1 (Debian 12, 1.22.1-9+deb12u11) gives no status. It sends GOAWAY with
# ENHANCE_YOUR_CALM, which reads like a limit on the rate of requests, and closes the connection. Answers
# to other requests that are under way on it break off in their middle. A client that takes a broken
# connection for a passing fault asks again, with the same URL, and never gets on; and it disturbs its
# neighbours each time. The client here is Go 1.26.8's net/http; curl 7.88.1 says "stream 1 was not closed
# cleanly before end of the underlying stream".
#
# Seen (a query of 12,000 bytes):
#
#   nginx version: nginx/1.22.1
#   HTTP/1.1, long query: 414 Request-URI Too Large
#   HTTP/2, long query:
#     http2: server sent GOAWAY and closed the connection; LastStreamID=3, ErrCode=ENHANCE_YOUR_CALM
#   HTTP/2, download beside it:
#     http2: server sent GOAWAY and closed the connection; LastStreamID=3, ErrCode=ENHANCE_YOUR_CALM
#
# What to do instead: keep long lists of fields or filters out of URLs, or bound the request line in the
# client (8,000 bytes). Treat ENHANCE_YOUR_CALM that follows a long request line as 414: ask for less, don't
# wait. On the server, `large_client_header_buffers 4 32k;` moves the bound for both protocols.
#
# Needs: go, apt-get, dpkg, on Debian 12. Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; [ -z "$server" ] || wait "$server" || true; rm -rf "$folder"' EXIT
chmod 755 "$folder" # workers of a server that root starts run as another user
cd "$folder"

apt-get -qq download nginx=1.22.1-9+deb12u11
dpkg -x nginx_*.deb root
head -c 20000 /dev/zero | tr '\0' '.' >download
cat >nginx.conf <<'CONF'
daemon off;
pid nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path temp/body;
	proxy_temp_path temp/proxy;
	fastcgi_temp_path temp/fastcgi;
	uwsgi_temp_path temp/uwsgi;
	scgi_temp_path temp/scgi;
	server {
		listen unix:http1.socket;
		location / { return 200; }
	}
	server {
		listen unix:http2.socket http2;
		root .;
		location / { return 200; }
		location = /download { limit_rate 1000; }
	}
}
CONF
mkdir temp
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	long := "http://nginx/?" + strings.Repeat("!", 12_000)

	response, err := client("http1.socket", false).Get(long)
	check(err)
	response.Body.Close()
	fmt.Println("HTTP/1.1, long query:", response.Status)

	http2 := client("http2.socket", true)
	download, err := http2.Get("http://nginx/download")
	check(err)
	_, err = io.ReadFull(download.Body, make([]byte, 1))
	check(err)
	answer, refused := http2.Get(long)
	if refused == nil {
		fmt.Println("HTTP/2, long query:", answer.Status)
		os.Exit(1)
	}
	var failure *url.Error
	if errors.As(refused, &failure) {
		refused = failure.Err // without the URL
	}
	report("HTTP/2, long query:", refused)
	_, broken := io.Copy(io.Discard, download.Body)
	report("HTTP/2, download beside it:", broken)

	if response.StatusCode != http.StatusRequestURITooLong || !calmed(refused) || !calmed(broken) {
		os.Exit(1)
	}
}

// client returns a client of the server behind a socket; it waits until the server is there.
func client(socket string, http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err == nil || time.Now().After(deadline) {
				return conn, err
			}
		}
	}
	return &http.Client{Transport: &http.Transport{Protocols: &protocols, DialContext: dial}}
}

func report(request string, err error) {
	text, _, _ := strings.Cut(fmt.Sprint(err), ", debug=")
	fmt.Printf("%s\n  %s\n", request, text)
}

func calmed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ErrCode=ENHANCE_YOUR_CALM")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
go mod init finding
go build -o finding .
root/usr/sbin/nginx -v
root/usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
server=$!
./finding
