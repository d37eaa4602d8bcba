//! The edge cases that proxies get wrong, by their numbers in the list of them.

use anyhow::Result;
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::script::Case;

fn key(length: usize) -> String {
    "k".repeat(length)
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

/// The largest value that memcached itself takes for a key of this length, with the default limit of 1 MiB: an item
/// has a header of 48 bytes and 8 for the cas number, the key and its NUL, the value and its line end.
fn largest(key: &str) -> usize {
    1024 * 1024 - 48 - 8 - key.len() - 1 - 2
}

fn values() -> Vec<Case> {
    let case = Case::new;
    vec![
        case("1", "data longer than announced")
            .ask(set("e1", "old"))
            .ask("set e1 0 0 3\r\nabcd\r\n")
            .ask("get e1\r\n")
            .shows("CLIENT_ERROR bad data chunk\r\n")
            .shows("old"),
        case("1", "data longer than announced, noreply")
            .ask("set e1n 0 0 3 noreply\r\nabcd\r\n")
            .ask("get e1n\r\n")
            .shows("ERROR"),
        case("1", "much longer data")
            .ask(format!("set e1m 0 0 3\r\n{}\r\n", key(5000)))
            .ask("get e1m\r\n")
            .one_segment(),
        case("1", "data shorter than announced").ask("set e1s 0 0 5\r\nabc\r\nxyz\r\n").ask("get e1s\r\n"),
        case("2", "the longest key").ask(set(&key(250), "v")).ask(format!("get {}\r\n", key(250))).shows("STORED"),
        case("2", "a key too long").ask(set(&key(251), "v")).ask(format!("get {}\r\n", key(251))).shows("CLIENT_ERROR"),
        case("2", "a key too long, noreply").ask(format!("set {} 0 0 1 noreply\r\nv\r\n", key(251))),
        case("2", "a key too long for other commands")
            .ask(format!("delete {}\r\n", key(251)))
            .ask(format!("incr {} 1\r\n", key(251)))
            .ask(format!("touch {} 1\r\n", key(251)))
            .ask(format!("gat 1 {}\r\n", key(251)))
            .ask(format!("cas {} 0 0 1 1\r\nv\r\n", key(251)))
            .ask(format!("append {} 0 0 1\r\nv\r\n", key(251))),
        case("3", "a multi-get with a key too long")
            .ask(set("e3", "v") + &set("e3b", "w"))
            .ask(format!("get e3 {} e3b\r\n", key(251)))
            .ask(format!("gets {}\r\n", key(251)))
            .ask("mg e3 h t\r\nmg e3b h t\r\n")
            .ask(format!("gat 100 e3b {} e3\r\n", key(251)))
            .ask("mg e3 h t\r\nmg e3b h t\r\n")
            .shows("CLIENT_ERROR"),
        case("4", "the largest value").ask(set("e4", &key(largest("e4")))).shows("STORED"),
        case("4", "a value too large drops the old one")
            .ask(set("e4b", "old"))
            .ask(set("e4b", &key(largest("e4b") + 1)))
            .ask("get e4b\r\n")
            .shows("SERVER_ERROR object too large for cache"),
        case("4", "a value too large, noreply")
            .ask(set("e4c", "old"))
            .ask(format!("set e4c 0 0 1048576 noreply\r\n{}\r\n", key(1_048_576)))
            .ask("get e4c\r\n"),
        case("4", "flags take room too")
            .ask(format!("set e4f 1 0 {}\r\n{}\r\n", largest("e4f"), key(largest("e4f"))))
            .ask("get e4f\r\n"),
        case("4", "other commands keep the old value")
            .ask(set("e4d", "old") + "gets e4d\r\n")
            .ask(format!("add e4d 0 0 1048576\r\n{}\r\n", key(1_048_576)))
            .ask(format!("replace e4d 0 0 1048576\r\n{}\r\n", key(1_048_576)))
            .ask(format!("append e4d 0 0 1048576\r\n{}\r\n", key(1_048_576)))
            .ask(format!("prepend e4d 0 0 1048576\r\n{}\r\n", key(1_048_576)))
            .ask(format!("cas e4d 0 0 1048576 <cas:e4d>\r\n{}\r\n", key(1_048_576)))
            .ask("get e4d\r\n")
            .shows("old"),
        case("4", "growing beyond the limit")
            .ask(set("e4e", &key(1_000_000)))
            .ask(format!("append e4e 0 0 100000\r\n{}\r\nget e4e\r\n", key(100_000)))
            .ask(format!("prepend e4e 0 0 100000\r\n{}\r\nget e4e\r\n", key(100_000))),
        case("4", "an absurd length").ask(set("e4g", "old")).ask("set e4g 0 0 4294967296\r\nx\r\n").ask("get e4g\r\n"),
        case("4", "the greatest length").ask(set("e4h", "old")).ask("set e4h 0 0 2147483647\r\n").ask("get e4h\r\n"),
        case("4", "a negative length").ask(set("e4i", "old")).ask("set e4i 0 0 -1\r\nx\r\n").ask("get e4i\r\n"),
        case("5", "a client that dies in the middle of a value")
            .ask(set("e5", "old"))
            .abandon("set e5 0 0 10\r\nhalf")
            .ask("get e5\r\n")
            .last("set e5 0 0 10\r\nhalf")
            .last("set e5 0 0 3\r\nnew\r")
            .last("set e5 0 0 3\r\nne")
            .last("get e5")
            .ask("get e5\r\n")
            .shows("old"),
        case("6", "expired at once")
            .ask("set e6 0 -1 1\r\nv\r\nget e6\r\n")
            .ask(set("e6", "v") + "touch e6 -1\r\nget e6\r\n")
            .ask(set("e6", "v") + "gat -1 e6\r\nget e6\r\n")
            .shows("TOUCHED"),
        case("7", "a month is relative, a second more is a date")
            .ask("set e7 0 2592000 1\r\nv\r\nget e7\r\n")
            .ask("set e7 0 2592001 1\r\nv\r\nget e7\r\n")
            .ask("set e7 0 4102444800 1\r\nv\r\nget e7\r\n")
            .ask("set e7 0 2147483647 1\r\nv\r\nget e7\r\n")
            .ask("set e7 0 2147483648 1\r\nv\r\nget e7\r\n")
            .ask("set e7 0 9223372036854775808 1\r\nv\r\nget e7\r\n"),
        case("8", "decr keeps the length, incr wraps")
            .ask(set("e8", "10") + "decr e8 1\r\nget e8\r\n")
            .ask(set("e8", "18446744073709551615") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "5") + "decr e8 7\r\nget e8\r\n")
            .ask(set("e8", "99") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "5") + "incr e8 18446744073709551615\r\nget e8\r\n")
            .ask(set("e8", "18446744073709551616") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "  5") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "5  ") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "+5") + "incr e8 1\r\nget e8\r\n")
            .ask(set("e8", "5\u{0}7") + "incr e8 1\r\nget e8\r\n")
            .ask("set e8 7 0 2\r\n10\r\ndecr e8 1\r\nget e8\r\n")
            .shows("\r\n9 \r\n"),
        case("9", "bad deltas")
            .ask(
                set("e9", "5")
                    + "incr e9 abc\r\nincr e9 -1\r\nincr e9 1x\r\nincr e9\r\nincr e9 18446744073709551616\r\n",
            )
            .ask("incr e9 +1\r\ndecr e9 0\r\nincr e9 01\r\nincr e9 1 2\r\nincr e9 1 noreply\r\nget e9\r\n")
            .ask(set("e9", "text") + "incr e9 1\r\ndecr e9 1\r\nincr e9 1 noreply\r\nincr missing 1\r\n")
            .shows("CLIENT_ERROR invalid numeric delta argument")
            .shows("CLIENT_ERROR cannot increment or decrement non-numeric value"),
    ]
}

fn commands() -> Vec<Case> {
    let case = Case::new;
    vec![
        case("10", "forms of delete")
            .ask(set("e10", "v") + "delete e10 0\r\nget e10\r\n")
            .ask(set("e10", "v") + "delete e10 5\r\nget e10\r\n")
            .ask(set("e10", "v") + "delete e10 noreply\r\nget e10\r\n")
            .ask(set("e10", "v") + "delete e10 0 noreply\r\nget e10\r\n")
            .ask(set("e10", "v") + "delete e10 5 noreply\r\nget e10\r\n")
            .ask(set("e10", "v") + "delete e10 0 5\r\ndelete e10 x\r\ndelete e10 00\r\ndelete\r\nget e10\r\n"),
        case("11", "noreply and errors")
            .ask("set e11 0 0 1 noreply extra\r\nv\r\nget e11\r\n")
            .ask("set e11 0 0 x noreply\r\nget e11\r\n")
            .ask("set e11 x 0 1 noreply\r\nget e11\r\n")
            .ask("add e11 0 0 1 noreply\r\nv\r\nreplace missing 0 0 1 noreply\r\nv\r\n")
            .ask("cas e11 0 0 1 noreply\r\nv\r\n\r\n")
            .ask("cas e11 0 0 1 1 noreply\r\nv\r\ncas e11 0 0 1 x noreply\r\nw\r\n")
            .ask("incr e11 x noreply\r\nincr missing 1 noreply\r\ntouch missing 1 noreply\r\ntouch e11 x noreply\r\n")
            .ask("delete missing noreply\r\nverbosity 0 noreply\r\nverbosity noreply\r\nget noreply\r\n")
            .ask("set e11 0 0 1 Noreply\r\nv\r\nget e11\r\n"),
        case("12", "forms of flush_all")
            .ask(set("e12", "v") + "flush_all\r\nget e12\r\n" + &set("e12", "w") + "get e12\r\n")
            .ask("flush_all 0\r\nget e12\r\n")
            .ask(set("e12", "v") + "flush_all -1\r\nget e12\r\n")
            .ask(set("e12", "v") + "flush_all abc\r\nflush_all 0 2 3\r\nflush_all x noreply\r\nget e12\r\n")
            .ask("flush_all noreply\r\nget e12\r\n")
            .ask(set("e12", "v") + "flush_all 0 noreply\r\nget e12\r\n")
            .shows("CLIENT_ERROR invalid exptime argument"),
        case("13", "touch and gat keep the cas number")
            .ask("set e13 3 0 1\r\nv\r\ngets e13\r\ntouch e13 100\r\ngets e13\r\n")
            .ask("gat 100 e13\r\ngats 100 e13\r\ngat 0 e13\r\ngets e13\r\n")
            .ask("gat 100\r\ngat\r\ngats 100\r\ngat x e13\r\ngat 100 e13 missing e13\r\ngats 100 missing\r\ngat 100 e13 noreply\r\n")
            .ask("touch e13\r\ntouch\r\ntouch e13 x\r\ntouch missing 5\r\ntouch e13 5 noreply\r\ntouch e13 5 x\r\ngets e13\r\n"),
        case("14", "flags")
            .ask("set e14 4294967295 0 1\r\nv\r\nget e14\r\n")
            .ask("set e14 4294967296 0 1\r\nv\r\nget e14\r\n")
            .ask("set e14 4294967297 0 1\r\nv\r\nget e14\r\n")
            .ask("set e14 -1 0 1\r\nv\r\nget e14\r\n")
            .ask("set e14 18446744073709551616 0 1\r\nv\r\nget e14\r\n")
            .ask("set e14 1x 0 1\r\nv\r\nset e14 0x1 0 1\r\nv\r\nset e14 +1 0 1\r\nv\r\nset e14 01 0 1\r\nv\r\nget e14\r\n")
            .shows("STORED"),
        case("15", "cas")
            .ask("cas e15 0 0 1 1\r\nv\r\n")
            .ask(set("e15", "a") + "gets e15\r\n")
            .ask(set("e15", "b") + "gets e15\r\n")
            .ask("cas e15 0 0 1 <old:e15>\r\nx\r\nget e15\r\n")
            .ask("cas e15 0 0 1 <cas:e15>\r\nc\r\ngets e15\r\n")
            .ask("cas e15 0 0 1 <cas:e15>\r\nd\r\ncas e15 0 0 1 <cas:e15>\r\ne\r\ngets e15\r\n")
            .ask("cas e15 0 0 1 x\r\nf\r\ncas e15 0 0 1\r\nf\r\ncas e15 0 0 1 -1\r\nf\r\ncas e15 0 0 1 18446744073709551616\r\nf\r\n")
            .ask("cas e15 0 0 1 0\r\ng\r\ngets e15\r\ncas e15z 0 0 1 0\r\ng\r\nget e15z\r\n")
            .ask("gets e15\r\n")
            .ask("cas e15 0 0 1 <cas:e15> noreply\r\nh\r\ncas e15 0 0 1 <cas:e15> noreply\r\ni\r\nget e15\r\n")
            .ask("gets e15\r\n")
            .ask("cas e15 0 -1 1 <cas:e15>\r\nj\r\nget e15\r\n")
            .shows("EXISTS")
            .shows("NOT_FOUND"),
        case("16", "line ends")
            .ask("set e16 0 0 1\nv\r\nget e16\n")
            .ask("set e16 0 0 1\r\nw\nget e16\r\n")
            .ask("\r\n\nget e16\r\n")
            .ask("GET e16\r\nSet e16 0 0 1\r\nv\r\n")
            .ask("get e16\r\r\nget e16 \r\n get e16\r\nget\te16\r\nversion \r\n version\r\n")
            .ask("set e16 0 0 2\r\n\r\n\r\nget e16\r\n")
            .ask("get e16\u{0}x\r\n\u{0}\r\nget \u{0}\r\nget\u{0}e16\r\n")
            .shows("ERROR"),
        case("17", "long lines that are closed").last(key(2049)).last(key(2047)).last(key(5000)).one_segment(),
        case("17", "a long line of a get")
            .ask(set("e17", "v"))
            .ask(format!("get {}e17\r\n", "missing ".repeat(1000)))
            .ask(format!("gets {}e17\r\n", "missing ".repeat(10_000)))
            .ask(format!("get{}e17\r\n", " ".repeat(3000)))
            .ask(format!("get {}\r\n", "e17 ".repeat(500))),
        case("17", "long lines that arrive whole")
            .ask(format!("gat 0 {}e17\r\n", "missing ".repeat(200)))
            .ask(format!("{}\r\n", key(1000)))
            .ask(format!("delete e17{}\r\n", " ".repeat(1000)))
            .one_segment(),
        case("17", "extra spaces")
            .ask("set   e17s  0  0  1\r\nv\r\nget   e17s    e17s  \r\n")
            .ask("delete  e17s   noreply\r\nget  e17s\r\nincr   e17s  1 \r\n"),
        case("17", "too many words")
            .ask("set e17t 0 0 1 a b c d e f g h i j k l m n o p q r s t u v w x y z\r\nv\r\n")
            .ask("incr e17t 1 2 3 4 5 6 7 8 9 10\r\ntouch e17t 1 2 3 4 5 6 7 8 9\r\n")
            .ask("delete a b c d e f g h i j k l m n o p q r s t u v w x y z\r\n")
            .ask("get a b c d e f g h i j k l m n o p q r s t u v w x y z\r\n"),
        case("20", "shutdown and quit")
            .ask("shutdown\r\nshutdown graceful\r\nshutdown x\r\n")
            .ask("quit x\r\nquit\r\n")
            .ask_on(1, "get missing\r\nquit\r\nget missing\r\n")
            .last("quit\r\n")
            .shows("<closed>"),
        case("28", "keys of any bytes")
            .ask(b"set e28\x01\x02\xff\x80 0 0 1\r\nv\r\nget e28\x01\x02\xff\x80\r\n")
            .ask(b"set e28\x7f\t\x0b 0 0 1\r\nv\r\nget e28\x7f\t\x0b e28\r\n"),
    ]
}

fn all(suite: Suite) -> Result<()> {
    let endpoints = Endpoints::start("edges", suite, &[])?;
    endpoints.compare_all(&values())?;
    endpoints.compare_all(&commands())
}

/// A set that finds no memory drops the old value, like one that is too large.
#[test]
fn out_of_memory() -> Result<()> {
    let mut case = Case::new("4", "out of memory");
    let value = key(10_000);
    for number in 0..900 {
        case = case.ask(set(&format!("o{number}"), &value));
    }
    let case = case
        .ask(set("o5", &value))
        .ask("get o5\r\n")
        .ask(set("o6", &value).replace("set", "add"))
        .ask(set("o7", &value).replace("set", "replace"))
        .ask("append o8 0 0 1\r\nx\r\n")
        .ask("get o7\r\nget o8\r\n")
        .shows("SERVER_ERROR out of memory storing object")
        .one_segment();
    let arguments = ["-M", "-m", "8", "-t", "1", "-o", "no_lru_maintainer,slab_automove=0"];
    let run = |&suite| Endpoints::start("memory", suite, &arguments)?.compare_all(std::slice::from_ref(&case));
    Suite::TESTED.iter().try_for_each(run)
}

#[test]
fn edge_cases_on_1_6_38() -> Result<()> {
    all(Suite::Trixie)
}

#[test]
fn edge_cases_on_1_6_45() -> Result<()> {
    all(Suite::Forky)
}
