//! Commands about the server: statistics, the crawler, streams.

use anyhow::Result;
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::script::Case;

fn cases() -> Vec<Case> {
    let case = Case::new;
    let lines = |about: &str, lines: &[&str]| {
        lines.iter().fold(case(about, "one by one"), |case, line| case.ask(format!("{line}\r\n")))
    };
    vec![
        case("stats", "some items first")
            .ask("set s 1 0 1\r\n1\r\nset t 0 1000 5\r\nhello\r\nget s\r\ngat 500 s\r\nincr s 1\r\n"),
        lines("stats", &["stats", "stats noreply", "stats settings", "stats items", "stats slabs", "stats conns"]),
        lines(
            "stats",
            &["stats sizes", "stats threads", "stats extstore", "stats proxy", "stats a b c", "stats malloc"],
        ),
        lines("stats", &["stats cachedump", "stats cachedump 1", "stats cachedump 1 x", "stats cachedump 99 1"]),
        lines("18", &["stats foo", "stats detail", "stats detail x", "stats detail off", "stats detail dump"]),
        lines("18", &["stats sizes_disable", "stats sizes_enable", "stats sizes x", "stats reset x", "stats reset"]),
        lines("slabs", &["slabs", "slabs reassign 1 2", "slabs automove 0", "slabs automove x", "slabs automove"]),
        lines("lru", &["lru", "lru mode segmented", "lru mode x", "lru temp_ttl 60", "lru tune 1 2", "lru temp_ttl x"]),
        lines("lru_crawler", &["lru_crawler", "lru_crawler sleep 10", "lru_crawler tocrawl 5", "lru_crawler x y z"]),
        lines("verbosity", &["verbosity", "verbosity 0", "verbosity x", "verbosity 0 1", "verbosity 0 noreply"]),
        lines(
            "cache_memlimit",
            &["cache_memlimit", "cache_memlimit x", "cache_memlimit 64", "cache_memlimit 64 noreply"],
        ),
        lines("version", &["version x", "version noreply", "version"]),
        case("19", "a dump of one class and of all")
            .wait("lru_crawler metadump all\r\n", "END\r\n")
            .wait("lru_crawler metadump hash\r\n", "END\r\n")
            .wait("lru_crawler metadump 1\r\n", "END\r\n")
            .shows("key=s "),
        case("30", "mgdump").wait("lru_crawler mgdump all\r\n", "EN\r\n").wait("lru_crawler mgdump hash\r\n", "EN\r\n"),
        lines("30", &["lru_crawler metadump", "lru_crawler metadump x", "lru_crawler mgdump", "lru_crawler mgdump x"]),
        case("19", "streams behind pipelined commands")
            .ask("get s\r\nwatch\r\n")
            .ask("get s\r\nlru_crawler metadump all\r\n")
            .ask("get s\r\nlru_crawler mgdump all\r\n")
            .one_segment()
            .shows("ERROR cannot pipeline other commands before watch")
            .shows("ERROR cannot pipeline other commands before metadump"),
        lines("19", &["watch nonsense", "watch fetchers nonsense", "watch fetchers a b c d e f g"]),
        case("19", "watch").wait("watch\r\n", "OK\r\n").wait("watch mutations evictions\r\n", "OK\r\n"),
        case("20", "shutdown is off").ask("shutdown\r\n").shows("ERROR: shutdown not enabled"),
        // The last one: memcached itself may refuse to enable the crawler while it is still stopping.
        case("35", "lru_crawler disable").ask("lru_crawler disable\r\n"),
    ]
}

#[test]
fn admin_commands_on_1_6_38() -> Result<()> {
    Endpoints::start("admin", Suite::Trixie, &[])?.compare_all(&cases())
}

#[test]
fn admin_commands_on_1_6_45() -> Result<()> {
    Endpoints::start("admin", Suite::Forky, &[])?.compare_all(&cases())
}
