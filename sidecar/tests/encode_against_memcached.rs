//! Every command that the sidecar sends, sent to memcached itself, and its answers read.

mod real_memcached;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use real_memcached::{Memcached, find};
use sidecar::protocol::dump::{self, DumpLine};
use sidecar::protocol::encode::{self, Arithmetic, Store};
use sidecar::protocol::{Dialect, Direction, Keys, Meta, MetaCode, Response, StoreMode, response};

/// The largest versions must survive.
const VERSION: u64 = (1 << 63) - 1;

type Seen = (MetaCode, Option<Vec<u8>>, Option<u64>);

struct Connection(UnixStream);

impl Connection {
    /// Sends commands and hands each answer to `look`, up to the answer of a no-op behind them.
    fn ask(&mut self, write: impl FnOnce(&mut Vec<u8>), mut look: impl FnMut(Response<'_>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes.extend_from_slice(encode::NOOP);
        self.0.write_all(&bytes).expect("memcached reads");
        let mut input = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = self.0.read(&mut chunk).expect("memcached answers");
            assert_ne!(read, 0, "closed");
            input.extend_from_slice(&chunk[..read]);
            let mut used_in_all = 0;
            while let Some((answer, used)) = response::parse(&input[used_in_all..]).expect("an answer") {
                used_in_all += used;
                if let Response::Meta(Meta { code: MetaCode::NoOp, .. }) = answer {
                    assert_eq!(used_in_all, input.len(), "nothing behind the no-op");
                    return;
                }
                look(answer);
            }
            input.drain(..used_in_all);
        }
    }

    /// Code, value and CAS of the meta answers.
    fn values(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.ask(write, |answer| match answer {
            Response::Meta(meta) => {
                let value = meta.value.map(<[u8]>::to_vec);
                seen.push((meta.code, value, meta.flags.cas()));
            }
            other => panic!("{other:?}"),
        });
        seen
    }

    /// The codes of the meta answers.
    fn codes(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<MetaCode> {
        let mut codes = Vec::new();
        self.ask(write, |answer| match answer {
            Response::Meta(meta) => codes.push(meta.code),
            other => panic!("{other:?}"),
        });
        codes
    }
}

fn item<'a>(key: &'a [u8], value: &'a [u8]) -> Store<'a> {
    Store { mode: StoreMode::Set, key, flags: 0, exptime: 0, version: VERSION, compare: None, binary: false, value }
}

fn counter(direction: Direction, version: u64) -> Arithmetic<'static> {
    Arithmetic { direction, key: b"k", delta: 1, version, compare: None, create: None }
}

fn each_release(run: impl Fn(&Memcached, Connection)) {
    for variable in ["MEMCACHED_1_6_38", "MEMCACHED_1_6_45"] {
        if let Some(executable) = find(variable) {
            let memcached = Memcached::start(&executable, &[]).expect("memcached starts");
            let connection = Connection(memcached.connect().expect("memcached listens"));
            run(&memcached, connection);
        }
    }
}

#[test]
fn stores_in_every_mode() {
    each_release(|_, mut connection| {
        let plain = item(b"k", b"1");
        for (store, code) in [
            (Store { mode: StoreMode::Replace, ..plain }, MetaCode::NotStored),
            (Store { mode: StoreMode::Append, ..plain }, MetaCode::NotStored),
            (Store { compare: Some(1), ..plain }, MetaCode::NotFound),
            (Store { mode: StoreMode::Add, ..plain }, MetaCode::Header),
            (Store { mode: StoreMode::Add, ..plain }, MetaCode::NotStored),
            (Store { compare: Some(1), ..plain }, MetaCode::Exists),
            (Store { compare: Some(0), ..plain }, MetaCode::Exists),
            (Store { compare: Some(VERSION), version: 5, ..plain }, MetaCode::Header),
            (Store { mode: StoreMode::Append, value: b"2\r\n", ..plain }, MetaCode::Header),
            (Store { mode: StoreMode::Prepend, value: b"", version: 7, ..plain }, MetaCode::Header),
            (Store { mode: StoreMode::Replace, flags: u32::MAX, ..plain }, MetaCode::Header),
            (Store { exptime: i32::MIN, ..plain }, MetaCode::Header),
            (Store { exptime: i32::MAX, ..plain }, MetaCode::Header),
        ] {
            assert_eq!(connection.codes(|out| encode::store(out, &store)), [code], "{store:?}");
        }
    });
}

#[test]
fn what_becomes_stale_has_a_version_of_its_own() {
    each_release(|_, mut connection| {
        connection.codes(|out| encode::store(out, &Store { version: 5, ..item(b"k", b"1") }));
        for (from, to, code) in [(4, 7, MetaCode::Exists), (5, VERSION, MetaCode::Header), (5, 8, MetaCode::Exists)] {
            assert_eq!(connection.codes(|out| encode::become_stale(out, b"k", from, to)), [code], "{from} to {to}");
        }
        let mut read = Vec::new();
        for won in [true, false] {
            connection.ask(
                |out| encode::read_back(out, b"k"),
                |answer| {
                    let Response::Meta(meta) = answer else { panic!("{answer:?}") };
                    read.push((meta.flags.cas(), meta.flags.has(b'X'), meta.flags.has(b'W') == won));
                },
            );
        }
        assert_eq!(read, [(Some(VERSION), true, true); 2]);
    });
}

#[test]
fn versions_and_values_come_back() {
    each_release(|_, mut connection| {
        // Bytes that are not for the eye, at both ends; the longest key.
        for key in [b"\x01k\xff\r".as_slice(), b"noreply", &[b'k'; 250]] {
            let stored = Store { flags: u32::MAX, exptime: 100, value: b"a\r\nEND\r\n", ..item(key, b"") };
            let mut seen = 0;
            connection.ask(
                |out| {
                    encode::store(out, &stored);
                    encode::read_back(out, key);
                    encode::touch(out, key, 0, false);
                    encode::read_value(out, key, None);
                    encode::inspect(out, key);
                    encode::get(out, true, [key]);
                },
                |answer| {
                    seen += 1;
                    match (seen, answer) {
                        (1, Response::Meta(meta)) => assert_eq!(meta.code, MetaCode::Header),
                        (2, Response::Meta(meta)) => {
                            assert_eq!(meta.value, Some(stored.value));
                            assert_eq!(meta.flags.client_flags(), Some(u32::MAX));
                            assert!((98..=100).contains(&meta.flags.ttl().expect("a life")));
                            assert_eq!(meta.flags.cas(), Some(VERSION));
                        }
                        (3, Response::Meta(meta)) => {
                            assert_eq!(meta.code, MetaCode::Header);
                            assert_eq!(meta.flags.cas(), Some(VERSION));
                        }
                        (4, Response::Meta(meta)) => {
                            assert_eq!(meta.value, Some(stored.value));
                            assert_eq!(meta.flags.client_flags(), Some(u32::MAX));
                            assert_eq!(meta.flags.cas(), Some(VERSION));
                        }
                        (5, Response::Meta(meta)) => {
                            assert_eq!(meta.debug_key(), Some(key));
                            assert_eq!(meta.debug_cas(), Some(VERSION));
                            assert_eq!(meta.debug_exp(), Some(-1));
                        }
                        (6, Response::Value(value)) => {
                            assert_eq!((value.key, value.data), (key, stored.value));
                            assert_eq!(value.flags, u32::MAX);
                            assert_eq!(value.cas, Some(VERSION));
                        }
                        (7, Response::End) => {}
                        other => panic!("{other:?}"),
                    }
                },
            );
            assert_eq!(seen, 7);
        }
    });
}

#[test]
fn misses_counters_and_deletes() {
    each_release(|_, mut connection| {
        let misses = connection.codes(|out| {
            encode::read_back(out, b"k");
            encode::touch(out, b"k", 5, false);
            encode::read_value(out, b"k", Some(5));
            encode::inspect(out, b"k");
            encode::delete(out, b"k", None);
            encode::delete(out, b"k", Some(5));
            encode::arithmetic(out, &counter(Direction::Increment, 5));
        });
        let (miss, none) = (MetaCode::Miss, MetaCode::NotFound);
        assert_eq!(misses, [miss, miss, miss, miss, none, none, none]);

        let seen = connection.values(|out| {
            encode::store(out, &item(b"k", b"10"));
            encode::arithmetic(out, &counter(Direction::Decrement, 5));
            encode::read_back(out, b"k");
            encode::delete(out, b"k", Some(6));
            encode::delete(out, b"k", Some(5));
        });
        let expected = [
            (MetaCode::Header, None, None),
            (MetaCode::Value, Some(b"9".to_vec()), None),
            (MetaCode::Value, Some(b"9 ".to_vec()), Some(5)),
            (MetaCode::Exists, None, None),
            (MetaCode::Header, None, None),
        ];
        assert_eq!(seen, expected);
    });
}

/// Not what one would wish, but what the users of [`encode::arithmetic`] have to live with. When a
/// release changes it, they may become simpler.
#[test]
fn a_number_that_is_not_changed_in_place_loses_its_version() {
    each_release(|_, mut connection| {
        let grows = connection.values(|out| {
            encode::store(out, &item(b"k", b"9"));
            encode::arithmetic(out, &counter(Direction::Increment, 5));
            encode::inspect(out, b"k");
            encode::read_back(out, b"k");
        });
        let [.., (_, value, Some(cas))] = grows.as_slice() else {
            panic!("{grows:?}");
        };
        assert_eq!(value.as_deref(), Some(b"10".as_slice()));
        assert!((1..1000).contains(cas) && *cas != 5, "{cas}");

        let held = connection.values(|out| {
            encode::store(out, &item(b"k", b"10"));
            encode::arithmetic(out, &counter(Direction::Increment, 5));
            encode::read_back(out, b"k");
            encode::arithmetic(out, &counter(Direction::Increment, 6));
            encode::read_back(out, b"k");
        });
        let [_, _, first, _, (_, _, Some(cas))] = held.as_slice() else {
            panic!("{held:?}");
        };
        assert_eq!(first.2, Some(5));
        assert!((1..1000).contains(cas) && *cas != 6, "{cas}");
    });
}

#[test]
fn appended_values_have_the_version() {
    each_release(|_, mut connection| {
        let seen = connection.values(|out| {
            encode::store(out, &item(b"k", b"b"));
            for (mode, version) in [(StoreMode::Append, 6), (StoreMode::Prepend, 7)] {
                encode::store(out, &Store { mode, version, ..item(b"k", b"a") });
                encode::read_back(out, b"k");
            }
        });
        let header = (MetaCode::Header, None, None);
        let value = |value: &[u8], cas| (MetaCode::Value, Some(value.to_vec()), Some(cas));
        let expected = [header.clone(), header.clone(), value(b"ba", 6), header, value(b"aba", 7)];
        assert_eq!(seen, expected);
    });
}

#[test]
fn gets_and_touches_of_many_keys() {
    each_release(|_, mut connection| {
        let keys: Vec<String> = (0..300).map(|number| format!("key-{number:0>60}")).collect();
        let words = keys.join("  ");
        let mut lines = 0;
        connection.ask(
            |out| {
                for key in &keys {
                    encode::store(out, &item(key.as_bytes(), b""));
                }
                lines = encode::get_and_touch(out, 100, Keys::new(words.as_bytes()));
                encode::get(out, false, Keys::new(words.as_bytes()));
            },
            {
                let (mut hits, mut ends) = (0, 0);
                let keys = &keys;
                move |answer| match answer {
                    Response::Meta(meta) => assert_eq!(meta.code, MetaCode::Header),
                    Response::Value(value) => {
                        assert_eq!(value.key, keys[hits % keys.len()].as_bytes());
                        let touched = hits < keys.len();
                        assert_eq!(value.cas.is_some(), touched);
                        hits += 1;
                    }
                    Response::End => ends += 1,
                    other => panic!("{other:?} after {hits} hits and {ends} ends"),
                }
            },
        );
        assert!(lines > 5, "{lines}");
    });
}

#[test]
fn admin_lines() {
    each_release(|memcached, mut connection| {
        let mut lines = Vec::new();
        connection.ask(
            |out| {
                out.extend_from_slice(encode::VERSION);
                out.extend_from_slice(encode::CRAWLER_ENABLE);
                out.extend_from_slice(encode::FLUSH_ALL);
                out.extend_from_slice(encode::DIALECT_PROBE);
            },
            |answer| match answer {
                Response::Line(line) | Response::Error { line } => lines.push(line.to_vec()),
                other => panic!("{other:?}"),
            },
        );
        let [version, enabled, flushed, probe] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert!(version.starts_with(b"VERSION 1.6."));
        // It runs already.
        assert!(enabled.starts_with(b"ERROR failed to start"));
        assert_eq!(flushed, b"OK");
        let legacy = version.ends_with(b"1.6.38");
        let dialect = if legacy { Dialect::Legacy } else { Dialect::Modern };
        assert_eq!(Dialect::of_probe_reply(probe), Some(dialect));

        let settings = memcached.answers(encode::STATS_SETTINGS).expect("memcached answers");
        let settings = String::from_utf8(settings).expect("text");
        assert!(settings.contains("STAT item_size_max 1048576\r\n"));
        assert!(settings.contains("STAT flush_enabled yes\r\n"));
    });
}

#[test]
fn dumps() {
    each_release(|memcached, mut connection| {
        let keys: Vec<Vec<u8>> = (1..=255u8)
            .filter(|byte| !matches!(byte, b' ' | b'\n'))
            .map(|byte| vec![byte; usize::from(byte) % 250 + 1])
            .collect();
        let codes = connection.codes(|out| {
            for key in &keys {
                encode::store(out, &Store { flags: 9, exptime: 1000, ..item(key, b"x") });
            }
        });
        assert!(codes.iter().all(|code| *code == MetaCode::Header));

        let bytes = memcached.answers(encode::METADUMP);
        let mut rest = bytes.expect("memcached answers");
        let mut found = Vec::new();
        loop {
            let (line, used) = dump::parse(&rest).expect("a dump").expect("its end");
            match line {
                DumpLine::Item(item) => {
                    let mut key = Vec::new();
                    item.key.decode_into(&mut key);
                    assert_eq!((item.cas, item.flags), (VERSION, 9));
                    let life = item.expires.expect("an end") - item.last_access;
                    assert!((998..=1002).contains(&life), "{life}");
                    let size = sidecar::protocol::limits::item_size(key.len(), 9, 1);
                    assert_eq!(item.size, size);
                    found.push(key);
                }
                DumpLine::Started => assert!(found.is_empty()),
                DumpLine::End => break,
                other => panic!("{other:?}"),
            }
            rest.drain(..used);
        }
        found.sort();
        let mut keys = keys;
        keys.sort();
        assert_eq!(found, keys);
    });
}
