"""pymemcache: the text protocol, with and without TLS, with and without a password."""

from pymemcache.client.base import Client

from scenario import LARGE, attempt, credentials, main, restarted, show, told, trusting


class Known(Client):
    """Says who it is as the first thing on each connection, which the library leaves to its user."""

    def __init__(self, *arguments, login, **options):
        super().__init__(*arguments, **options)
        self.login = login

    def _connect(self):
        super()._connect()
        self.set("auth", " ".join(self.login).encode(), noreply=False)


def client_of(host, port, kind=Client, **options):
    return kind((host, port), timeout=20, connect_timeout=20, **options)


def operations(host, port, **options):
    client = client_of(host, port, **options)
    client.flush_all()
    show("set", client.set("k", b"v", noreply=False))
    show("get", client.get("k"))
    show("get nothing", client.get("none"))
    show("add", client.add("k", b"w", noreply=False))
    show("add new", client.add("new", b"w", noreply=False))
    show("replace", client.replace("k", b"x", noreply=False))
    show("replace nothing", client.replace("none", b"x", noreply=False))
    show("append", client.append("k", b"yz", noreply=False))
    show("prepend", client.prepend("k", b"w", noreply=False))
    show("get", client.get("k"))
    show("set_many", client.set_many({f"many{i}": f"value {i}".encode() for i in range(300)}, noreply=False))
    many = client.get_many([f"many{i}" for i in range(310)])
    show("get_many", sorted(many.items()) == sorted((f"many{i}", f"value {i}".encode()) for i in range(300)))
    value, token = client.gets("k")
    show("gets", value)
    show("cas", client.cas("k", b"by cas", token, noreply=False))
    show("cas again", client.cas("k", b"too late", token, noreply=False))
    show("cas nothing", client.cas("none", b"x", token, noreply=False))
    show("gets_many", sorted(key for key in client.gets_many(["k", "new", "none"])))
    show("incr nothing", client.incr("count", 1))
    show("set count", client.set("count", b"18446744073709551614", noreply=False))
    show("incr", client.incr("count", 1))
    show("incr over the end", client.incr("count", 1))
    show("set count", client.set("count", b"10", noreply=False))
    show("decr", client.decr("count", 1))
    show("get count", client.get("count"))
    attempt("incr text", lambda: client.incr("k", 1))
    show("touch", client.touch("k", 100, noreply=False))
    show("touch nothing", client.touch("none", 100, noreply=False))
    show("set expired", client.set("over", b"v", expire=-1, noreply=False))
    show("get expired", client.get("over"))
    show("large", client.set("large", LARGE, noreply=False))
    show("get large", client.get("large"))
    attempt("too large", lambda: client.set("large", LARGE * 2, noreply=False))
    show("get too large", client.get("large"))
    show("delete", client.delete("k", noreply=False))
    show("delete nothing", client.delete("k", noreply=False))
    client.set("quiet", b"v", noreply=True)
    client.delete_many(["new", "many0"], noreply=True)
    show("after quiet ones", sorted(client.get_many(["quiet", "new", "many0"])))
    attempt("bad key", lambda: client.get("a b"))
    attempt("long key", lambda: client.get("k" * 251))
    show("flush_all", client.flush_all(noreply=False))
    show("get flushed", client.get("quiet"))
    show("version", client.version().startswith(b"1.6."))
    client.quit()


def reconnect(host, port, **options):
    client = client_of(host, port, **options)
    show("set", client.set("k", b"v", noreply=False))
    restarted(lambda: client.set("after", b"v", noreply=False))
    show("get after", client.get("after"))


def login(host, port, **options):
    user, password = credentials()
    operations(host, port, kind=Known, login=(user, password), **options)
    for which, kind in [
        ("wrong", {"kind": Known, "login": (user, "wrong")}),
        ("wrong user", {"kind": Known, "login": ("nobody", password)}),
        ("none", {}),
    ]:
        told(f"{which}: set", lambda: client_of(host, port, **kind, **options).set("k", b"v", noreply=False))
        told(f"{which}: get", lambda: client_of(host, port, **kind, **options).get("k"))
    reconnect(host, port, kind=Known, login=(user, password), **options)


main({
    "operations": operations,
    "reconnect": reconnect,
    "tls": lambda host, port: operations(host, port, tls_context=trusting()),
    "login-text": login,
    "login-text-tls": lambda host, port: login(host, port, tls_context=trusting()),
})
