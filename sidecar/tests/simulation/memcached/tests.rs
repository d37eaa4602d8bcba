//! What the comparison with a real memcached cannot show: splits, bounds, and the simulation's own levers.

use super::{Config, ConnId, Memcached};

fn start() -> (Memcached, ConnId) {
    let mut memcached = Memcached::new(Config::default());
    let conn = memcached.connect();
    (memcached, conn)
}

fn ask(memcached: &mut Memcached, conn: ConnId, commands: &str) -> String {
    memcached.input(conn, commands.as_bytes());
    memcached.run(conn);
    take(memcached, conn)
}

fn take(memcached: &mut Memcached, conn: ConnId) -> String {
    let output = memcached.output(conn).map(std::mem::take).unwrap_or_default();
    String::from_utf8(output).unwrap()
}

#[test]
fn any_split_is_the_same() {
    let commands = "set a 0 0 2\r\n10\r\nms b 3 E7 c\r\nabc\r\nma a D1 E9 v c\r\nmg a v c\r\nset c 0 0 3000\r\n";
    let commands = [commands.as_bytes(), &[b'x'; 3000], b"\r\nget a b c\r\nmd b C7\r\nmn\r\n"].concat();
    let answers = |size| {
        let mut memcached = Memcached::new(Config { item_size_max: 2048, slab_chunk_max: 1024, ..Config::default() });
        let conn = memcached.connect();
        for part in commands.chunks(size) {
            memcached.input(conn, part);
            memcached.run(conn);
        }
        take(&mut memcached, conn)
    };
    let whole = answers(commands.len());
    assert!(whole.ends_with("HD\r\nMN\r\n"), "{whole}");
    for size in [1, 2, 3, 64, 1000] {
        assert_eq!(answers(size), whole, "parts of {size} bytes");
    }
}

#[test]
fn a_step_is_one_command() {
    let (mut memcached, conn) = start();
    memcached.input(conn, b"set a 0 0 1\r\n1\r\nget a\r\nge");
    assert!(memcached.step(conn));
    assert!(memcached.peek(b"a").is_some());
    assert_eq!(take(&mut memcached, conn), "", "answers leave when nothing is left to do");
    assert!(memcached.step(conn));
    assert!(!memcached.step(conn));
    assert_eq!(take(&mut memcached, conn), "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_dying_client_stores_nothing() {
    let (mut memcached, conn) = start();
    ask(&mut memcached, conn, "set a 0 0 1\r\n1\r\nset a 0 0 5\r\nab");
    memcached.disconnect(conn);
    assert_eq!(memcached.peek(b"a").map(|item| item.value), Some(&b"1"[..]));
    assert!(memcached.is_closed(conn) && !memcached.step(conn));
}

#[test]
fn an_increment_that_replaces_loses_its_cas() {
    let (mut memcached, conn) = start();
    let answers = ask(&mut memcached, conn, "ms a 1 E1000\r\n9\r\nma a E1001 v c\r\nmg a v c\r\n");
    assert_eq!(answers, "HD\r\nVA 2 c1001\r\n10\r\nVA 2 c2\r\n10\r\n");
    let answers = ask(&mut memcached, conn, "ma a MD E1002 v c\r\n");
    assert_eq!(answers, "VA 1 c1002\r\n9\r\n");
    let item = memcached.peek(b"a").unwrap();
    assert_eq!((item.value, item.cas), (&b"9 "[..], 1002));
    // now the answer of `mg` holds a reference
    let answers = ask(&mut memcached, conn, "mg a v\r\nma a MD E1003 v c\r\n");
    assert_eq!(answers, "VA 2\r\n9 \r\nVA 1 c1003\r\n8\r\n");
    assert_eq!(memcached.peek(b"a").unwrap().value, b"8");
    memcached.set_increments_replace(true);
    ask(&mut memcached, conn, "ma a E1004\r\n");
    assert_ne!(memcached.peek(b"a").unwrap().cas, 1004);
}

#[test]
fn a_dump_lists_what_is_there_all_the_time() {
    let (mut memcached, conn) = start();
    let writer = memcached.connect();
    for key in 0..300 {
        ask(&mut memcached, writer, &format!("set stays{key} 0 0 1\r\n1\r\n"));
    }
    memcached.input(conn, b"lru_crawler metadump hash\r\n");
    let mut steps = 0;
    while memcached.step(conn) {
        let (old, new) = (steps, steps + 1);
        ask(&mut memcached, writer, &format!("set new{new} 0 0 1\r\n1\r\ndelete new{old}\r\n"));
        assert!(ask(&mut memcached, writer, "lru_crawler metadump hash\r\n").starts_with("BUSY") || steps > 0);
        steps += 1;
    }
    let dump = take(&mut memcached, conn);
    assert!(dump.starts_with("OK\r\nkey=") && dump.ends_with(" \nEND\r\n"));
    assert!(steps > 100, "{steps} steps");
    for key in 0..300 {
        assert_eq!(dump.matches(&format!("key=stays{key} ")).count(), 1);
    }
    assert_eq!(ask(&mut memcached, conn, "mn\r\n"), "MN\r\n");
}

#[test]
fn a_dump_waits_for_its_reader() {
    let (mut memcached, conn) = start();
    let writer = memcached.connect();
    for key in 0..4000 {
        ask(&mut memcached, writer, &format!("set {key} 0 0 1\r\n1\r\n"));
    }
    memcached.input(conn, b"lru_crawler metadump all\r\n");
    memcached.run(conn);
    let first = take(&mut memcached, conn);
    assert!(!first.ends_with("END\r\n"));
    memcached.set_hash_growing(true);
    memcached.run(conn);
    memcached.run(conn);
    let rest: String = std::iter::from_fn(|| {
        memcached.run(conn);
        Some(take(&mut memcached, conn)).filter(|part| !part.is_empty())
    })
    .collect();
    assert!(rest.ends_with("END\r\n"), "only a walk of the hash table minds that it grows");
    assert!(ask(&mut memcached, conn, "lru_crawler metadump hash\r\n").ends_with("ERROR locked try again later\r\n"));
    memcached.set_crawler_busy(true);
    assert!(ask(&mut memcached, conn, "lru_crawler metadump hash\r\n").starts_with("BUSY "));
}

#[test]
fn the_oldest_item_is_evicted() {
    let mut memcached = Memcached::new(Config { max_items: 3, ..Config::default() });
    let conn = memcached.connect();
    let sets = "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 1\r\n1\r\n";
    ask(&mut memcached, conn, &format!("{sets}get a\r\nget a\r\n"));
    ask(&mut memcached, conn, "set d 0 0 1\r\n1\r\n");
    assert!(memcached.peek(b"b").is_none(), "a was read twice");
    assert!(memcached.evict(b"a") && !memcached.evict(b"a"));
    assert_eq!(memcached.items().count(), 2);
}

#[test]
fn a_flush_skips_what_is_locked() {
    let (mut memcached, conn) = start();
    ask(&mut memcached, conn, "ms a 1 E5\r\n1\r\nms b 1 E6\r\n1\r\n");
    memcached.lock_for_flush(b"a");
    assert_eq!(ask(&mut memcached, conn, "flush_all\r\nmg a c\r\nmg b c\r\n"), "OK\r\nHD c5\r\nEN\r\n");
    assert_eq!(ask(&mut memcached, conn, "flush_all\r\nmg a c\r\n"), "OK\r\nEN\r\n");
}

#[test]
fn out_of_memory_drops_what_too_large_drops() {
    let (mut memcached, conn) = start();
    ask(&mut memcached, conn, "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 1\r\n1\r\n");
    memcached.set_out_of_memory(true);
    let answers =
        ask(&mut memcached, conn, "set a 0 0 1\r\n2\r\nadd b 0 0 1\r\n2\r\nms c 1 ME\r\n2\r\nappend b 0 0 1\r\n2\r\n");
    assert_eq!(answers, "SERVER_ERROR out of memory storing object\r\n".repeat(4));
    memcached.set_out_of_memory(false);
    assert_eq!(ask(&mut memcached, conn, "get a b c\r\n"), "VALUE b 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_restart_forgets_everything() {
    let (mut memcached, conn) = start();
    ask(&mut memcached, conn, "set a 0 0 1\r\n1\r\n");
    let later = memcached.time() + 10;
    memcached.restart(later);
    assert!(memcached.is_closed(conn) && memcached.items().next().is_none());
    let conn = memcached.connect();
    let stats = ask(&mut memcached, conn, "stats\r\n");
    assert!(stats.contains(&format!("STAT time {later}\r\n")) && stats.contains("STAT uptime 2\r\n"));
    assert_eq!(memcached.restarts(), 1);
}
