"""pylibmc (libmemcached): the text and the binary protocol, and SASL where it is built with it, which its wheel is not."""

import pylibmc

from scenario import LARGE, attempt, credentials, main, restarted, show, told


def client_of(host, port, **options):
    return pylibmc.Client([f"{host}:{port}"], behaviors={"cas": True, "tcp_nodelay": True}, **options)


def operations(host, port, **options):
    exercise(client_of(host, port, **options), options.get("binary", False))


def exercise(client, binary=False):
    attempt("flush_all", lambda: client.flush_all())
    attempt("set", lambda: client.set("k", b"v"))
    attempt("get", lambda: client.get("k"))
    attempt("get nothing", lambda: client.get("none"))
    attempt("add", lambda: client.add("k", b"w"))
    attempt("add new", lambda: client.add("new", b"w"))
    attempt("replace", lambda: client.replace("k", b"x"))
    attempt("replace nothing", lambda: client.replace("none", b"x"))
    attempt("append", lambda: client.append("k", b"yz"))
    attempt("prepend", lambda: client.prepend("k", b"w"))
    attempt("get", lambda: client.get("k"))
    attempt("set_multi", lambda: client.set_multi({f"many{i}": f"value {i}" for i in range(300)}))
    many = client.get_multi([f"many{i}" for i in range(310)])
    show("get_multi", sorted(many.items()) == sorted((f"many{i}", f"value {i}") for i in range(300)))
    value, token = client.gets("k")
    show("gets", value)
    attempt("cas", lambda: client.cas("k", b"by cas", token))
    attempt("cas again", lambda: client.cas("k", b"too late", token))
    attempt("incr nothing", lambda: client.incr("count", 1))
    attempt("set count", lambda: client.set("count", 10))
    attempt("incr", lambda: client.incr("count", 5))
    attempt("decr", lambda: client.decr("count", 100))
    if not binary:  # in which this library loses its place behind an error with a text
        attempt("incr text", lambda: client.incr("k", 1))
    attempt("touch", lambda: client.touch("k", 100))
    attempt("touch nothing", lambda: client.touch("none", 100))
    attempt("large", lambda: client.set("large", LARGE))
    attempt("get large", lambda: client.get("large"))
    attempt("too large", lambda: client.set("large", LARGE * 2))
    attempt("get too large", lambda: client.get("large"))
    attempt("delete", lambda: client.delete("k"))
    attempt("delete nothing", lambda: client.delete("k"))
    attempt("delete_multi", lambda: client.delete_multi(["many0", "many1"]))
    attempt("get deleted", lambda: client.get_multi(["many0", "many1", "many2"]))


def reconnect(host, port):
    client = pylibmc.Client([f"{host}:{port}"], behaviors={"retry_timeout": 1, "dead_timeout": 1})
    show("set", client.set("k", b"v"))
    restarted(lambda: client.set("after", b"v"))
    show("get after", client.get("after"))


def login(host, port):
    user, password = credentials()
    operations(host, port, binary=True, username=user, password=password)
    for which, said in [
        ("wrong", {"username": user, "password": "wrong"}),
        ("wrong user", {"username": "nobody", "password": password}),
        ("none", {}),
    ]:
        # what it says beside that names the function of libmemcached, and its address
        attempt(f"{which}: set", lambda: client_of(host, port, binary=True, **said).set("k", b"v"))
        attempt(f"{which}: get", lambda: client_of(host, port, binary=True, **said).get("k"))


def login_text(host, port):
    user, password = credentials()
    known = client_of(host, port)
    told("right: login", lambda: known.set("auth", f"{user} {password}".encode()))
    exercise(known)
    for which, said in [("wrong", f"{user} wrong"), ("wrong user", f"nobody {password}")]:
        client = client_of(host, port)
        attempt(f"{which}: login", lambda: client.set("auth", said.encode()))
        attempt(f"{which}: get", lambda: client.get("k"))
    attempt("none: get", lambda: client_of(host, port).get("k"))


main({
    "operations": operations,
    "operations-binary": lambda host, port: operations(host, port, binary=True),
    "reconnect": reconnect,
    "login": login,
    "login-text": login_text,
})
