"""python-binary-memcached: the binary protocol, SASL PLAIN, TLS."""

import os

import bmemcached

from scenario import attempt, credentials, main, restarted, show, told, trusting


def client_of(host, port, user=None, password=None, tls=None):
    return bmemcached.Client((f"{host}:{port}",), username=user, password=password, tls_context=tls, socket_timeout=20)


def operations(host, port, **options):
    client = client_of(host, port, **options)
    large = os.urandom(400_000).hex()
    show("flush_all", client.flush_all())
    show("set", client.set("k", "v"))
    show("get", client.get("k"))
    show("get nothing", client.get("none"))
    show("add", client.add("k", "w"))
    show("add new", client.add("new", "w"))
    show("replace", client.replace("k", "x"))
    show("replace nothing", client.replace("none", "x"))
    show("set_multi", client.set_multi({f"many{i}": f"value {i}" for i in range(300)}))
    many = client.get_multi([f"many{i}" for i in range(310)])
    show("get_multi", sorted(many.items()) == sorted((f"many{i}", f"value {i}") for i in range(300)))
    value, token = client.gets("k")
    show("gets", value)
    show("cas", client.cas("k", "by cas", token))
    show("cas again", client.cas("k", "too late", token))
    show("incr", client.incr("count", 5, default=10))
    show("incr", client.incr("count", 5))
    show("decr", client.decr("count", 100))
    attempt("incr text", lambda: client.incr("k", 1))
    show("large", client.set("large", large, compress_level=0))
    show("get large", client.get("large") == large)
    attempt("too large", lambda: client.set("large", large * 2, compress_level=0))
    show("delete", client.delete("k"))
    show("delete nothing", client.delete("k"))
    show("delete_multi", client.delete_multi(["many0", "many1"]))
    show("stats", "curr_items" in next(iter(client.stats().values())))
    client.disconnect_all()


def reconnect(host, port, **options):
    client = client_of(host, port, **options)
    show("set", client.set("k", "v"))
    restarted(lambda: client.set("after", "v"))
    show("get after", client.get("after"))


def login(host, port, **options):
    user, password = credentials()
    operations(host, port, user=user, password=password, **options)
    for which, said in [("wrong", (user, "wrong")), ("wrong user", ("nobody", password)), ("none", (None, None))]:
        told(f"{which}: set", lambda: client_of(host, port, *said, **options).set("k", "v"))
        told(f"{which}: get", lambda: client_of(host, port, *said, **options).get("k"))
    reconnect(host, port, user=user, password=password, **options)


main({
    "operations": operations,
    "reconnect": reconnect,
    "tls": lambda host, port: operations(host, port, tls=trusting()),
    "login": login,
    "login-tls": lambda host, port: login(host, port, tls=trusting()),
})
