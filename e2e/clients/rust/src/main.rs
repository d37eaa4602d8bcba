//! The crate memcache: the text, the binary and the meta protocol, TLS, a password in the text and in the binary protocol.

use std::collections::HashMap;
use std::env::{args, var};
use std::fmt::{Debug, Display};
use std::io::{Write, stdin};
use std::thread::sleep;
use std::time::{Duration, Instant};

use memcache::exp::{Delete, Get, GetStatus, Memcache, Meta, MetaClient, Set, Ttl};
use memcache::{Client, FromMemcacheValue, MemcacheError};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A line of what came back, or of what the server said against it.
fn show<T: Debug, E: Display>(what: &str, result: Result<T, E>) {
    let text = match result {
        Ok(result) => format!("{result:?}"),
        Err(error) => format!("error {error}"),
    };
    // large values are told by their length
    let text = if text.len() > 300 { format!("{} characters", text.len()) } else { text };
    println!("{what}: {text}");
}

/// A value as it is stored: its bytes as text, and its flags.
#[derive(Debug, PartialEq)]
struct Stored(String, u32);

impl FromMemcacheValue for Stored {
    fn from_memcache_value(value: Vec<u8>, flags: u32) -> Result<Self, MemcacheError> {
        Ok(Self(String::from_utf8(value)?, flags))
    }
}

/// How a client connects.
#[derive(Clone, Copy)]
struct Way<'a> {
    host: &'a str,
    port: &'a str,
    text: bool,
    tls: bool,
}

impl Way<'_> {
    fn client(self, login: Option<(&str, &str)>) -> Result<Client, Failure> {
        let Way { host, port, text, tls } = self;
        let login = login.map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        let scheme = if tls { "memcache+tls" } else { "memcache" };
        let mut url = format!("{scheme}://{login}{host}:{port}?timeout=20");
        if text {
            url += "&protocol=ascii";
        }
        if tls {
            url += &format!("&ca_path={}", var("CLIENT_CA")?);
        }
        // within this time it tries again and again to get a connection
        Ok(Client::builder().add_server(url)?.with_connection_timeout(Duration::from_secs(2)).build()?)
    }
}

fn operations(client: &Client, text: bool) -> Result<(), Failure> {
    let get = |what: &str, key: &str| show(what, client.get::<Stored>(key));
    show("flush", client.flush());
    show("set", client.set("k", "v", 0));
    get("get", "k");
    get("get nothing", "none");
    show("add", client.add("k", "w", 0));
    show("add new", client.add("new", "w", 100));
    show("replace", client.replace("k", "x", 0));
    show("replace nothing", client.replace("none", "x", 0));
    show("append", client.append("k", "yz"));
    show("prepend", client.prepend("k", "w"));
    show("append to nothing", client.append("none", "yz"));
    get("get", "k");
    let keys: Vec<String> = (0..310).map(|number| format!("many{number}")).collect();
    for key in &keys[..300] {
        client.set(key, key, 0)?;
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let many: HashMap<String, String> = client.gets(&keys)?;
    println!("multi-get: {} of {}", many.iter().filter(|(key, value)| key == value).count(), many.len());
    let (value, _, token): (String, u32, Option<u64>) = client.get("k")?.ok_or("no item")?;
    println!("gets: {value}");
    // in the text protocol this library asks for tokens in a multi-get only
    let token = match token {
        Some(token) => token,
        None => {
            let all: HashMap<String, (String, u32, Option<u64>)> = client.gets(&["k"])?;
            all.get("k").and_then(|item| item.2).ok_or("no token")?
        }
    };
    show("cas", client.cas("k", "by cas", 0, token));
    show("cas again", client.cas("k", "too late", 0, token));
    show("cas nothing", client.cas("none", "x", 0, token));
    get("get", "k");
    show("incr nothing", client.increment("count", 1));
    show("set count", client.set("count", 18_446_744_073_709_551_615_u64, 0));
    show("incr over the end", client.increment("count", 1));
    show("set count", client.set("count", 10, 0));
    show("decr", client.decrement("count", 1));
    get("get count", "count");
    show("incr text", client.increment("k", 1));
    show("touch", client.touch("k", 100));
    show("touch nothing", client.touch("none", 100));
    let large: String = (0..90_000).map(|number| format!("{number:010}")).collect();
    show("large", client.set("large", &large, 0));
    show("get large", client.get::<String>("large").map(|value| value == Some(large.clone())));
    show("too large", client.set("large", large.repeat(2), 0));
    get("get too large", "large");
    show("delete", client.delete("k"));
    show("delete nothing", client.delete("k"));
    show("long key", client.get::<String>(&"k".repeat(251)));
    if text {
        // the other protocol takes any byte in a key
        show("bad key", client.get::<String>("a\u{1}b"));
    }
    show("flush later", client.flush_with_delay(1000));
    get("get", "new");
    show("version", client.version().map(|all| all.iter().all(|(_, version)| version.starts_with("1.6."))));
    show("stats", client.stats().map(|all| all.iter().all(|(_, stats)| stats.contains_key("curr_items"))));
    Ok(())
}

/// The experimental client of the meta protocol: leases, stale items, tokens, quiet batches.
fn meta(address: &str) -> Result<(), Failure> {
    let cache = Memcache::connect([address])?;
    let long = Ttl::secs(100);
    show("set", cache.set("k", "v", long));
    show("get", cache.get::<String>("k"));
    show("get nothing", cache.get::<String>("none"));
    show("add", cache.add("k", "w", long));
    show("replace nothing", cache.replace("none", "w", long));
    show("get and touch", cache.get_and_touch::<String>("k", Ttl::secs(50)));
    show("set many", cache.set_many((0..300).map(|number| (format!("many{number}"), number)), long));
    let many = cache.get_many::<i64, _>((0..310).map(|number| format!("many{number}")))?;
    println!("get many: {} with the sum {}", many.len(), many.values().sum::<i64>());
    show("delete many", cache.delete_many(["many0", "many1", "none"]));
    show("incr", cache.incr("count", 5, long));
    show("incr", cache.incr("count", 5, long));
    show("decr", cache.decr("count", 100, long));
    show("append", cache.append("bytes", b"b", long));
    show("prepend", cache.prepend("bytes", b"a", long));
    show("update", cache.update::<i64, _>("updated", long, |now| now.unwrap_or(40) + 1));
    show("update", cache.update::<i64, _>("updated", long, |now| now.unwrap_or(40) + 1));
    show("take", cache.take::<i64>("updated"));
    show("take", cache.take::<i64>("updated"));
    show("fetch", cache.fetch::<String, Failure, _>("fetched", long, || Ok("made".to_owned())));
    show("fetch", cache.fetch::<String, Failure, _>("fetched", long, || Ok("made again".to_owned())));
    show("invalidate", cache.invalidate("fetched", Duration::from_secs(50)));
    show("fetch", cache.fetch::<String, Failure, _>("fetched", long, || Ok("made anew".to_owned())));
    let large: String = (0..90_000).map(|number| format!("{number:010}")).collect();
    show("large", cache.set("large", &large, long));
    show("get large", cache.get::<String>("large").map(|value| value == Some(large.clone())));
    show("too large", cache.set("large", large.repeat(2), long));
    show("get too large", cache.get::<String>("large"));

    let client = MetaClient::connect(address)?;
    let binary = "blank \u{1} and more";
    show("binary key", client.set(binary, "v").client_flags(7).send().map(|result| result.status));
    show("binary key", client.get(binary).send().map(|result| (result.status, result.client_flags)));
    let first = client.get("lease").lease_ttl(30).send()?;
    let second = client.get("lease").lease_ttl(30).send()?;
    println!("lease: {:?} {:?}, {:?} {:?}", first.status, first.lease_state, second.status, second.lease_state);
    let token = first.item.cas.ok_or("no token")?;
    show("fill", client.set("lease", "filled").compare_cas(token).send().map(|result| result.status));
    show("fill again", client.set("lease", "late").compare_cas(token).send().map(|result| result.status));
    show("stale", client.delete("lease").stale_for(Ttl::secs(30)).send().map(|result| result.status));
    for _ in 0..2 {
        let seen = client.get("lease").lease_ttl(30).send()?;
        println!("stale: {:?} {:?} {:?}", seen.status, seen.value_state, seen.lease_state);
    }
    let asked = Meta::NONE.size().hit_before().ttl();
    show("meta", client.get("k").meta(asked).send().map(|result| (result.item.size, result.item.hit_before)));
    let batch = client.run_batch(vec![
        Set::new("batch", "1").ttl(Ttl::secs(60)).into(),
        Get::new("batch").into(),
        Get::new("none").into(),
        Delete::new("none").into(),
    ])?;
    for result in batch {
        match result {
            Ok(result) => println!(
                "batch: {:?} {:?}",
                result.as_get().map(|get| (get.status, get.value.clone())),
                result.as_mutation().map(|mutation| mutation.status)
            ),
            Err(error) => println!("batch: error {error}"),
        }
    }
    let found = client.run_many((0..300).map(|number| Get::new(format!("many{number}"))))?;
    let hits = found.iter().flatten().filter(|result| result.status == GetStatus::Hit).count();
    println!("many: {hits} of {}", found.len());
    show("debug", client.debug("k").map(|found| found.is_some_and(|item| item.contains_key("size"))));
    show("noop", client.noop());
    Ok(())
}

fn reconnect(client: &Client) -> Result<(), Failure> {
    show("set", client.set("k", "v", 0));
    println!("restart");
    std::io::stdout().flush()?;
    stdin().read_line(&mut String::new())?;
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if client.set("after", "v", 0).is_ok() {
            println!("served again");
            break;
        }
        sleep(Duration::from_millis(50));
    }
    show("get after", client.get::<String>("after"));
    Ok(())
}

fn login(way: Way) -> Result<(), Failure> {
    let (user, password) = (var("CLIENT_USER")?, var("CLIENT_PASSWORD")?);
    let known = way.client(Some((&user, &password)))?;
    operations(&known, way.text)?;
    let strangers = [
        ("wrong", Some((user.as_str(), "wrong"))),
        ("wrong user", Some(("nobody", password.as_str()))),
        ("none", None),
    ];
    for (which, says) in strangers {
        match way.client(says) {
            Err(error) => println!("{which}: error {error}"),
            Ok(client) => {
                show(&format!("{which}: set"), client.set("k", "v", 0));
                show(&format!("{which}: get"), client.get::<String>("k"));
            }
        }
    }
    reconnect(&known)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = args().collect();
    let [_, scenario, host, port] = arguments.as_slice() else { return Err("SCENARIO HOST PORT".into()) };
    let has = |word| scenario.split('-').any(|part| part == word);
    let way = Way { host, port, text: has("text"), tls: has("tls") };
    match scenario.split('-').next() {
        Some("operations") if has("meta") => meta(&format!("{host}:{port}")),
        Some("operations") | Some("tls") => operations(&way.client(None)?, way.text),
        Some("reconnect") => reconnect(&way.client(None)?),
        Some("login") => login(way),
        _ => Err("no such scenario".into()),
    }
}
