// gomemcache: the text protocol, with and without TLS.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func show(what string, result any, err error) {
	if err != nil {
		// what a server says is compared, addresses are not
		fmt.Printf("%s: error %s\n", what, strings.SplitN(err.Error(), "127.0.0.1", 2)[0])
		return
	}
	fmt.Printf("%s: %v\n", what, result)
}

func value(item *memcache.Item, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if len(item.Value) > 100 {
		return fmt.Sprintf("%d bytes, flags %d", len(item.Value), item.Flags), nil
	}
	return fmt.Sprintf("%q, flags %d", item.Value, item.Flags), nil
}

func client(address string) *memcache.Client {
	client := memcache.New(address)
	client.Timeout = 20 * time.Second
	return client
}

func operations(client *memcache.Client) {
	item := func(key, text string) *memcache.Item { return &memcache.Item{Key: key, Value: []byte(text), Flags: 7} }
	get := func(what, key string) {
		found, err := value(client.Get(key))
		show(what, found, err)
	}
	show("flush", "done", client.FlushAll())
	show("set", "done", client.Set(item("k", "v")))
	get("get", "k")
	get("get nothing", "none")
	show("add", "done", client.Add(item("k", "w")))
	show("add new", "done", client.Add(item("new", "w")))
	show("replace", "done", client.Replace(item("k", "x")))
	show("replace nothing", "done", client.Replace(item("none", "x")))
	show("append", "done", client.Append(item("k", "yz")))
	show("prepend", "done", client.Prepend(item("k", "w")))
	get("get", "k")
	keys := []string{"none"}
	for i := 0; i < 300; i++ {
		key := fmt.Sprintf("many%d", i)
		keys = append(keys, key)
		if err := client.Set(item(key, "value of "+key)); err != nil {
			show("set many", nil, err)
		}
	}
	many, err := client.GetMulti(keys)
	right := 0
	for key, found := range many {
		if string(found.Value) == "value of "+key {
			right++
		}
	}
	show("multi-get", right, err)
	token, err := client.Get("k")
	if err == nil {
		token.Value = []byte("by cas")
		show("cas", "done", client.CompareAndSwap(token))
		token.Value = []byte("too late")
		show("cas again", "done", client.CompareAndSwap(token))
	}
	get("get", "k")
	count, err := client.Increment("count", 1)
	show("incr nothing", count, err)
	show("set count", "done", client.Set(item("count", "18446744073709551615")))
	count, err = client.Increment("count", 1)
	show("incr over the end", count, err)
	show("set count", "done", client.Set(item("count", "10")))
	count, err = client.Decrement("count", 1)
	show("decr", count, err)
	get("get count", "count")
	count, err = client.Increment("k", 1)
	show("incr text", count, err)
	show("touch", "done", client.Touch("k", 100))
	show("touch nothing", "done", client.Touch("none", 100))
	found, err := value(client.GetAndTouch("k", 100))
	show("get and touch", found, err)
	over := item("over", "v")
	over.Expiration = -1
	show("set expired", "done", client.Set(over))
	get("get expired", "over")
	show("large", "done", client.Set(item("large", strings.Repeat("0123456789", 90_000))))
	get("get large", "large")
	show("too large", "done", client.Set(item("large", strings.Repeat("0123456789", 200_000))))
	get("get too large", "large")
	show("delete", "done", client.Delete("k"))
	show("delete nothing", "done", client.Delete("k"))
	get("bad key", "a b")
	show("ping", "done", client.Ping())
	show("delete all", "done", client.DeleteAll())
	get("get deleted", "new")
}

func reconnect(client *memcache.Client) {
	set := func(key string) error { return client.Set(&memcache.Item{Key: key, Value: []byte("v")}) }
	show("set", "done", set("k"))
	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if set("after") == nil {
			fmt.Println("served again")
			break
		}
	}
	found, err := value(client.Get("after"))
	show("get after", found, err)
}

func main() {
	address := net.JoinHostPort(os.Args[2], os.Args[3])
	client := client(address)
	switch os.Args[1] {
	case "operations":
		operations(client)
	case "reconnect":
		reconnect(client)
	case "tls":
		pem, err := os.ReadFile(os.Getenv("CLIENT_CA"))
		if err != nil {
			panic(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "cache"}}
		client.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}
		operations(client)
	default:
		os.Exit(2)
	}
}
