// gomemcache: the text protocol, with and without TLS, with and without a password.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// With TLS, and the certificate has to have the server's name.
func overTLS() dial {
	pem, err := os.ReadFile(os.Getenv("CLIENT_CA"))
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext
}

// Says who it is as the first thing on each connection, which the library leaves to its user.
func known(connect dial, user, password string) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := connect(ctx, network, address)
		if err != nil {
			return nil, err
		}
		login := user + " " + password
		fmt.Fprintf(connection, "set auth 0 0 %d\r\n%s\r\n", len(login), login)
		answer, err := bufio.NewReader(connection).ReadString('\n')
		if err == nil && answer != "STORED\r\n" {
			err = errors.New(strings.TrimSpace(answer))
		}
		if err != nil {
			connection.Close()
			return nil, err
		}
		return connection, nil
	}
}

func login(address string, connect dial) {
	user, password := os.Getenv("CLIENT_USER"), os.Getenv("CLIENT_PASSWORD")
	right := client(address)
	right.DialContext = known(connect, user, password)
	operations(right)
	for _, other := range []struct {
		which   string
		connect dial
	}{
		{"wrong", known(connect, user, "wrong")},
		{"wrong user", known(connect, "nobody", password)},
		{"none", connect},
	} {
		client := client(address)
		client.DialContext = other.connect
		show(other.which+": set", "done", client.Set(&memcache.Item{Key: "k", Value: []byte("v")}))
		found, err := value(client.Get("k"))
		show(other.which+": get", found, err)
	}
	reconnect(right)
}

func main() {
	address := net.JoinHostPort(os.Args[2], os.Args[3])
	switch os.Args[1] {
	case "operations":
		operations(client(address))
	case "reconnect":
		reconnect(client(address))
	case "tls":
		client := client(address)
		client.DialContext = overTLS()
		operations(client)
	case "login-text":
		login(address, (&net.Dialer{}).DialContext)
	case "login-text-tls":
		login(address, overTLS())
	default:
		os.Exit(2)
	}
}
