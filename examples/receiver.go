// A receiver of pushes in Go, with nothing but its standard library.
//
//	PUSH_KEYS="k1=HEX k2=HEX" PORT=8099 go run receiver.go
package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 300 * time.Second
	bodyBytesMax = 19_999
)

var (
	keys = map[string][]byte{}
	// A real receiver keeps the events in its database, under a unique index.
	seen sync.Map
)

func main() {
	for _, pair := range strings.Fields(os.Getenv("PUSH_KEYS")) {
		id, text, _ := strings.Cut(pair, "=")
		key, err := hex.DecodeString(text)
		if err != nil {
			log.Fatal("PUSH_KEYS: ", err)
		}
		keys[id] = key
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "listening on", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(receive)))
}

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var event struct {
		ID   string `json:"event_id"`
		Type string `json:"event_type"`
	}
	err = verify(r.Header, body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err == nil && event.ID != r.Header.Get("webhook-id") {
		err = errors.New("another event's id")
	}
	if err != nil {
		fmt.Println("refused:", err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	// An event may come twice; it is handled once.
	if _, known := seen.LoadOrStore(event.ID, true); !known {
		fmt.Println("event", event.Type, event.ID)
	}
	w.WriteHeader(http.StatusNoContent)
}

// verify fails unless the raw body was signed by the mall, and not long ago.
func verify(headers http.Header, body []byte) error {
	get := func(name string) string { return headers.Get(name) }
	for _, name := range []string{"x-lf-notification-version", "x-lf-algo", "x-lf-signature",
		"x-lf-timestamp", "webhook-id", "webhook-timestamp", "webhook-signature"} {
		if len(headers.Values(name)) != 1 {
			return fmt.Errorf("%s is not there once", name)
		}
	}
	if get("x-lf-notification-version") != "1.0" || get("x-lf-algo") != "HMAC-SHA1" {
		return errors.New("another version")
	}

	// Standard Webhooks: one signature for each key that is live at the mall.
	signed := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", get("webhook-id"), get("webhook-timestamp"), body)
		good := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for _, given := range strings.Split(get("webhook-signature"), " ") {
			signed = hmac.Equal([]byte(given), []byte(good)) || signed
		}
	}
	if !signed {
		return errors.New("webhook-signature is wrong")
	}

	// The vendor's headers: the newest key only, which may not be known here yet.
	id, signature, _ := strings.Cut(get("x-lf-signature"), "/")
	if key, known := keys[id]; known {
		mac := hmac.New(sha1.New, key)
		fmt.Fprintf(mac, "%s1.0:HMAC-SHA1:%s", body, get("x-lf-timestamp"))
		good := hex.EncodeToString(mac.Sum(nil))
		if !hmac.Equal([]byte(signature), []byte(good)) {
			return errors.New("x-lf-signature is wrong")
		}
	}

	seconds, err := strconv.ParseInt(get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	millis, err := strconv.ParseInt(get("x-lf-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	for _, at := range []time.Time{time.Unix(seconds, 0), time.UnixMilli(millis)} {
		if age := time.Since(at); age > tolerance || age < -tolerance {
			return errors.New("signed too long ago, or in the future")
		}
	}
	return nil
}
