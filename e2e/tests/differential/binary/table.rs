//! Every opcode with edge values.

use anyhow::{Context, Result, ensure};
use e2e::binary::{Packet, opcode::*};
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::packet_compare::Complete;
use crate::packets::{Batch, End, Piece};
use crate::script::Cut;

macro_rules! pieces {
    ($($piece:expr),* $(,)?) => { vec![$(Piece::from($piece)),*] };
}

/// A named history.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) batches: Vec<Batch>,
    pub(super) complete: Complete,
}

/// All on one connection, one batch each.
fn case<const N: usize>(name: &str, batches: [Vec<Piece>; N]) -> Case {
    let batch = |pieces| Batch { connection: 0, pieces, end: End::Noop };
    Case { name: name.to_owned(), batches: batches.into_iter().map(batch).collect(), complete: Complete::Yes }
}

/// The last batch of which memcached closes the connection, or waits for bytes that never come.
fn ending<const N: usize>(name: &str, batches: [Vec<Piece>; N]) -> Case {
    let mut case = case(name, batches);
    case.complete = Complete::UnlessClosed;
    if let Some(last) = case.batches.last_mut() {
        last.end = End::Finish;
    }
    // What it left behind is looked at from another connection.
    case.batches.push(Batch { connection: 1, pieces: pieces![get("@k"), get("@c")], end: End::Noop });
    case
}

fn get(key: &str) -> Packet {
    Packet::new(GET).key(key)
}

fn with_key(opcode: u8, key: &str) -> Packet {
    Packet::new(opcode).key(key)
}

fn set(key: &str, value: impl AsRef<[u8]>) -> Packet {
    Packet::store(SET, key, 5, 0, value)
}

fn token(packet: Packet, key: &str) -> Piece {
    Piece::Token(packet, key.to_owned(), 0)
}

fn older(packet: Packet, key: &str) -> Piece {
    Piece::Token(packet, key.to_owned(), 1)
}

const KNOWN: [u8; 35] = [
    GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ, APPEND,
    PREPEND, STAT, SETQ, ADDQ, REPLACEQ, DELETEQ, INCREMENTQ, DECREMENTQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ, TOUCH, GAT,
    GATQ, GATK, GATKQ, SASL_LIST, SASL_AUTH, SASL_STEP,
];
const STORES: [u8; 6] = [SET, ADD, REPLACE, SETQ, ADDQ, REPLACEQ];
const JOINS: [u8; 4] = [APPEND, PREPEND, APPENDQ, PREPENDQ];
const READS: [u8; 4] = [GET, GETQ, GETK, GETKQ];
const TOUCHES: [u8; 5] = [TOUCH, GAT, GATQ, GATK, GATKQ];
const COUNTERS: [u8; 4] = [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ];

/// Each opcode that there may be, with bodies of all shapes that any of them takes.
fn shapes(opcode: u8) -> Vec<Case> {
    let bare = Packet::new(opcode);
    let extras = [0, 1, 2, 3, 4, 5].map(|words| vec![1000_u32; words]);
    let mut cases = Vec::new();
    for (key, value) in [("", ""), ("@k", ""), ("@k", "vv"), ("", "vv")] {
        for extras in &extras {
            let packet = bare.clone().key(key).words(extras).value(value);
            let mut last = pieces![packet.clone()];
            // memcached throws the length of the body away behind the key of what it does not know.
            if !KNOWN.contains(&opcode) {
                let keyless = packet.extras.len() + packet.value.len() + packet.key.len();
                let wide = if key.is_empty() { keyless } else { keyless + 20 };
                last.push(Piece::Raw(vec![b'x'; wide]));
            }
            cases.push(ending(&format!("{packet:?}"), [pieces![set("@k", "1"), set("@c", "1")], last]));
        }
    }
    cases
}

/// Lengths that contradict each other. A value from 2 GiB on has a negative length to 1.6.38, whose answer to it is an
/// accident; the sidecar refuses it as 1.6.45 does.
fn lengths(opcode: u8, suite: Suite) -> Vec<Case> {
    let words: &[u32] = match opcode {
        _ if STORES.contains(&opcode) => &[1, 0],
        _ if TOUCHES.contains(&opcode) => &[1000],
        _ if COUNTERS.contains(&opcode) => &[0, 1, 0, 5, 0],
        _ => &[],
    };
    let bare = [QUIT, QUITQ, NOOP, VERSION, FLUSH, FLUSHQ, SASL_LIST, STAT].contains(&opcode);
    let value = if STORES.contains(&opcode) || JOINS.contains(&opcode) { "vv" } else { "" };
    let right = Packet::new(opcode).words(words).key(if bare { "" } else { "@k" }).value(value);
    let offsets = [
        (-1, 0, 0),
        (1, 0, 0),
        (0, -1, 0),
        (0, 1, 0),
        (0, 0, -1),
        (0, 0, 1),
        (0, 0, -8),
        (0, 0, -100_000),
        (249, 0, 300),
        (250, 0, 300),
        (300, 0, 300),
        (20_000, 0, 20_000),
        (0, 0, 0x4000_0001),
        (0, 0, -0x10_0000),
    ];
    let wrong = |(key_off, extras_off, body_off)| {
        let packet = Packet { key_off, extras_off, body_off, ..right.clone() };
        let name = format!("{packet:?}");
        // Enough for keys that are longer than there are bytes.
        let filler = Piece::Raw(vec![b'k'; if key_off > 10_000 { 30_000 } else { 400 }]);
        ending(&name, [pieces![set("@k", "1"), set("@c", "1")], vec![Piece::from(packet), filler]])
    };
    let fits = |(key_off, extras_off, body_off): &(i32, i32, i64)| {
        let stored = STORES.contains(&opcode) || JOINS.contains(&opcode);
        let defined = suite != Suite::Trixie || !stored || *body_off >= -1;
        defined && right.key.len() as i32 + key_off >= 0 && right.extras.len() as i32 + extras_off >= 0
    };
    offsets.into_iter().filter(fits).map(wrong).collect()
}

fn storing() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in STORES {
        let store = |key: &str| Packet::store(opcode, key, 7, 0, "new");
        cases.push(case(
            &format!("store {opcode:#x}"),
            [
                pieces![store("@k"), with_key(GETK, "@k")],
                pieces![set("@k", "old"), store("@k"), get("@k")],
                vec![token(store("@k"), "@k"), get("@k").into()],
                vec![older(store("@k"), "@k"), get("@k").into()],
                pieces![store("@missing").cas(5), get("@missing")],
                pieces![store("@k").cas(u64::MAX), get("@k")],
            ],
        ));
        for (flags, exptime) in [
            (u32::MAX, 0),
            (0, 1000),
            (0, 2_592_000),
            (0, 2_592_001),
            (1 << 31, 4_102_444_800),
            (1, u32::MAX),
            (1, 0x7fff_ffff),
            (1, 0x8000_0000),
        ] {
            let store = |key: &str| Packet::store(opcode, key, flags, exptime, "new");
            let name = format!("store {opcode:#x} with flags {flags} and exptime {exptime}");
            cases.push(case(&name, [pieces![set("@k", "old"), store("@k"), get("@k"), store("@n"), get("@n")]]));
        }
        let name = format!("store {opcode:#x}: no value, odd bytes, lines");
        let values = ["", "\r\n", "END\r\nVALUE @k 0 1\r\n", "\0\u{80}"];
        let batch = |value: &str| pieces![Packet::store(opcode, "@k", 0, 0, value), get("@k")];
        cases.push(case(&name, values.map(batch)));
    }
    for opcode in JOINS {
        let join = |key: &str| with_key(opcode, key).value("+");
        cases.push(case(
            &format!("join {opcode:#x}"),
            [
                pieces![join("@k"), get("@k")],
                pieces![set("@k", "old"), join("@k"), get("@k"), join("@k"), get("@k")],
                vec![token(join("@k"), "@k"), get("@k").into()],
                vec![older(join("@k"), "@k"), get("@k").into()],
                pieces![join("@missing").cas(5), with_key(opcode, "@k"), get("@k")],
                pieces![Packet::store(SET, "@t", 9, 1000, "t"), join("@t"), get("@t")],
            ],
        ));
    }
    cases
}

fn reading() -> Vec<Case> {
    let mut cases = vec![case(
        "a multi-get of quiet reads, and the noop that ends it",
        [pieces![
            set("@a", "1"),
            set("@c", "3"),
            with_key(GETKQ, "@a"),
            with_key(GETKQ, "@b"),
            with_key(GETKQ, "@c"),
            with_key(GETK, "@d"),
            Packet::new(NOOP),
            with_key(GETQ, "@a"),
            with_key(GETQ, "@b"),
            with_key(GET, "@b"),
        ]],
    )];
    for opcode in READS {
        let long = "k".repeat(240) + "@";
        cases.push(case(
            &format!("read {opcode:#x}"),
            [
                pieces![with_key(opcode, "@k"), set("@k", "v"), with_key(opcode, "@k"), with_key(opcode, &long)],
                pieces![with_key(opcode, "@k").cas(77), set("@k\u{1}\u{7f}", "v"), with_key(opcode, "@k\u{1}\u{7f}")],
                pieces![Packet { opaque: u32::MAX - 5, data_type: 9, status: 0x1234, ..with_key(opcode, "@k") }],
            ],
        ));
    }
    for opcode in TOUCHES {
        let touch = |key: &str, exptime| with_key(opcode, key).words(&[exptime]);
        cases.push(case(
            &format!("touch {opcode:#x}"),
            [
                pieces![
                    touch("@k", 0),
                    set("@k", "v"),
                    touch("@k", 1000),
                    get("@k"),
                    touch("@k", 0),
                    touch("@k", 7).cas(9)
                ],
                pieces![
                    touch("@k", u32::MAX),
                    get("@k"),
                    touch("@k", 0x8000_0000),
                    touch("@k", 0x7fff_ffff),
                    get("@k")
                ],
                pieces![touch("@k", 2_592_001), get("@k"), touch("@k", 0)],
            ],
        ));
    }
    cases
}

fn counting() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in COUNTERS {
        let count = |key: &str, delta, initial, exptime| Packet::counter(opcode, key, delta, initial, exptime);
        let never = u32::MAX;
        cases.push(case(
            &format!("counter {opcode:#x}"),
            [
                pieces![count("@k", 1, 10, never), get("@k")],
                pieces![count("@k", 1, 10, 0), get("@k")],
                pieces![count("@k", 1, 10, never), get("@k")],
                pieces![count("@k", 0, 10, 0), get("@k")],
                pieces![count("@t", 1, u64::MAX, 1000), get("@t")],
                pieces![count("@t", 1, 0, 1000), get("@t")],
                pieces![count("@e", 1, 0, 2_592_001), get("@e")],
                pieces![set("@k", "9"), count("@k", 91, 0, 0)],
                pieces![count("@k", u64::MAX, 0, 0), get("@k")],
                pieces![set("@k", "x"), count("@k", 1, 0, 0), get("@k")],
                pieces![set("@k", ""), count("@k", 1, 0, 0), get("@k")],
                pieces![set("@k", "18446744073709551615"), count("@k", 1, 0, 0), get("@k")],
                pieces![set("@k", "18446744073709551616"), count("@k", 1, 0, 0), get("@k")],
                pieces![set("@k", "10"), get("@k")],
                vec![token(count("@k", 1, 0, 0), "@k")],
                vec![older(count("@k", 1, 0, 0), "@k"), get("@k").into()],
                // Longer than before: memcached replaces the item, and read right behind it has its new CAS already.
                pieces![set("@l", "9"), get("@l")],
                vec![token(count("@l", 91, 0, 0), "@l"), get("@l").into(), set("@l", "9").into()],
                vec![token(count("@l", 991, 0, 0), "@l"), get("@l").into(), get("@l").into()],
                pieces![count("@new", 1, 4, 0).cas(7), get("@new")],
                pieces![count("@k", 1, 0, never).cas(u64::MAX), get("@k")],
                pieces![Packet::store(SET, "@f", 9, 1000, "5"), get("@f")],
                pieces![count("@f", 1, 0, 0), get("@f")],
            ],
        ));
    }
    cases
}

fn deleting() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [DELETE, DELETEQ] {
        let delete = || with_key(opcode, "@k");
        cases.push(case(
            &format!("delete {opcode:#x}"),
            [
                pieces![delete(), set("@k", "v"), delete(), get("@k"), set("@k", "v"), set("@k", "w")],
                vec![older(delete(), "@k"), get("@k").into(), token(delete(), "@k"), get("@k").into()],
                pieces![delete().cas(5), set("@k", "v"), delete().cas(u64::MAX), get("@k")],
            ],
        ));
    }
    for opcode in [FLUSH, FLUSHQ] {
        let flush = || Packet::new(opcode);
        let set = || Packet::store(SETQ, "@k", 0, 0, "v");
        cases.push(case(
            &format!("flush {opcode:#x}"),
            [
                pieces![set(), flush(), get("@k"), set(), get("@k"), flush().words(&[0]), get("@k")],
                pieces![
                    set(),
                    flush().words(&[1000]),
                    get("@k"),
                    flush().words(&[u32::MAX]),
                    get("@k"),
                    flush().cas(7)
                ],
            ],
        ));
    }
    cases
}

fn about_the_server() -> Vec<Case> {
    let stat = |key: &str| with_key(STAT, key);
    vec![
        case("version and noop", [pieces![Packet::new(VERSION), Packet::new(NOOP).cas(5), Packet::new(VERSION)]]),
        case(
            "what memcached does not know",
            [
                pieces![Packet::new(VERBOSITY).words(&[1]), Piece::Raw(vec![b'x'; 4]), get("@k")],
                pieces![Packet::new(0x30).value("four"), Packet::new(0xff), get("@k")],
                pieces![Packet::new(SASL_LIST), with_key(SASL_AUTH, "PLAIN").value("\0user\0pass"), get("@k")],
                pieces![with_key(SASL_STEP, "PLAIN"), get("@k")],
            ],
        ),
        case("stat", [pieces![stat("")], pieces![stat("settings"), stat("settingsx"), stat("items"), stat("sizes")]]),
        case("stat slabs", [pieces![set("@k", "v"), stat("slabs"), get("@k")]]),
        case(
            "stat of nothing",
            [
                pieces![stat("foo"), stat("itemsx"), stat("conns"), stat("cachedump 1 1"), stat("threads"), get("@k")],
                pieces![stat("detail"), stat("detail x"), stat("detailon"), stat("extstore"), stat("Items")],
            ],
        ),
        case(
            "stat detail",
            [
                pieces![stat("detail off"), stat("detail on"), stat("detail offx")],
                pieces![stat("detail dump"), get("@k"), stat("detail dumpx")],
            ],
        ),
        case("stat reset", [pieces![stat("reset"), stat("resets"), get("@k")]]),
        case("stat with a value, which is no request", [pieces![get("@k")]]),
    ]
}

/// A connection that ends: what came before is answered, what comes behind is not done.
fn quitting() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [QUIT, QUITQ] {
        let pieces = pieces![set("@k", "v"), get("@k"), Packet::new(opcode), set("@k", "w"), get("@k")];
        cases.push(ending(&format!("quit {opcode:#x}"), [pieces]));
    }
    cases.push(ending(
        "a wrong magic",
        [pieces![set("@k", "v"), Packet::new(NOOP), Packet { magic: 0x81, ..get("@k") }]],
    ));
    cases.push(ending("text behind packets", [pieces![set("@k", "v"), Packet::new(NOOP), Piece::Raw(vec![b'g'; 30])]]));
    cases.push(ending("half a header", [pieces![Packet::new(NOOP), Piece::Raw(b"\x80\x00\x00".to_vec())]]));
    cases.push(ending("a stat with a value", [pieces![Packet::new(NOOP), Packet::new(STAT).value("items")]]));
    cases
}

pub(super) fn run(endpoints: &Endpoints, cases: &[Case], cuts: &[Cut]) -> Result<()> {
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let compare = |(at, &cut): (usize, &Cut)| -> Result<()> {
            let prefix = format!("{number}.{at}:");
            let expected = endpoints.binary_reference(&case.batches, &prefix, cut)?;
            endpoints.compare_binary(&expected, &case.batches, &prefix, cut, case.complete)
        };
        let differs = cuts.iter().enumerate().find_map(|cut| compare(cut).err());
        failures.extend(differs.map(|error| format!("{}: {error:#}", case.name)));
    }
    ensure!(failures.is_empty(), "{} of {} cases differ:\n\n{}", failures.len(), cases.len(), failures.join("\n\n"));
    Ok(())
}

/// Arithmetic of memcached pads a shorter number only where nobody refers to the item: see `random.rs`.
const REPEATABLE: [&str; 4] = ["-t", "1", "-o", "no_lru_maintainer"];

fn on_both(test: &str, cases: impl Fn(Suite) -> Vec<Case>, cuts: &[Cut]) -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| {
        let endpoints = Endpoints::start(test, suite, &REPEATABLE)?;
        run(&endpoints, &cases(suite), cuts).with_context(|| format!("{suite:?}"))
    })
}

#[test]
fn each_opcode_with_edge_values() -> Result<()> {
    let parts = || [storing(), reading(), counting(), deleting(), quitting()];
    on_both("binary-table", |_| parts().into_iter().flatten().collect(), &Cut::ALL)
}

#[test]
fn what_packets_say_about_the_server() -> Result<()> {
    on_both("binary-server", |_| about_the_server(), &[Cut::Whole])
}

#[test]
fn bodies_of_all_shapes_for_all_256_opcodes() -> Result<()> {
    on_both("binary-shapes", |_| (0..=255).flat_map(shapes).collect(), &[Cut::Whole])
}

#[test]
fn lengths_that_contradict_each_other() -> Result<()> {
    let all = |suite| KNOWN.into_iter().flat_map(|opcode| lengths(opcode, suite)).collect();
    on_both("binary-lengths", all, &[Cut::Whole])
}

#[test]
fn keys_that_no_line_can_name() -> Result<()> {
    let one = |key: &str| {
        let reads = pieces![set(key, "1"), with_key(GETK, key), with_key(GAT, key).words(&[1000])];
        let changes = pieces![Packet::counter(INCREMENT, key, 1, 0, 0), with_key(APPEND, key).value("0")];
        let ends = pieces![with_key(TOUCH, key).words(&[0]), with_key(GETKQ, key), with_key(DELETE, key), get(key)];
        case(&format!("key {key:?}"), [reads, changes, ends])
    };
    on_both("binary-keys", |_| ["@a b", "@ ", " @", "@\n", "@\r\n", "@\0", "\0@"].map(one).into(), &Cut::ALL)
}
