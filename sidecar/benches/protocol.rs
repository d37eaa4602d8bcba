//! Nanoseconds per step of the hot paths: `cargo bench -p sidecar --bench protocol`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sidecar::protocol::encode::{self, Store};
use sidecar::protocol::{Command, Dialect, Limits, Parser, Step, StoreMode, response};

/// Runs `work`, which does `steps` steps a time, for a while and prints the best time of a step.
fn measure(name: &str, steps: usize, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..50 {
            work();
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / (50 * steps) as f64;
        best = best.min(nanoseconds);
    }
    println!("{name:<44} {best:>7.1} ns");
}

/// Lines whose keys differ in length, so that no branch is learned by heart.
fn batch(line: impl Fn(&str) -> String) -> (Vec<u8>, usize) {
    let mut input = Vec::new();
    let mut seed = 1u64;
    for number in 0..512u64 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(number);
        let length = 14 + (seed >> 33) as usize % 13;
        let key = format!("{number:0>length$}");
        input.extend_from_slice(line(&key).as_bytes());
    }
    (input, 512)
}

fn parse_all(input: &[u8], limits: &Limits) -> usize {
    let mut parser = Parser::new();
    let mut rest = input;
    let mut bytes = 0;
    while !rest.is_empty() {
        match parser.step(black_box(rest), limits) {
            Step::Request { request, consumed } => {
                if let Command::Store { value, .. } = request.command {
                    bytes += value.len();
                }
                black_box(&request);
                rest = rest.get(consumed..).unwrap_or_default();
            }
            other => panic!("{other:?}"),
        }
    }
    bytes
}

fn main() {
    let value = "v".repeat(100);
    for dialect in [Dialect::Modern, Dialect::Legacy] {
        let limits = Limits { item_size_max: 1024 * 1024, dialect, flush_enabled: true };
        let cases: [(&str, (Vec<u8>, usize)); 7] = [
            ("get, keys of 14 to 26 bytes", batch(|key| format!("get {key}\r\n"))),
            ("get of 10 keys", batch(|key| format!("get{}\r\n", format!(" {key}").repeat(10)))),
            ("set of 100 bytes", batch(|key| format!("set {key} 0 0 100\r\n{value}\r\n"))),
            (
                "set with flags, exptime, noreply",
                batch(|key| format!("set {key} 4097 86400 100 noreply\r\n{value}\r\n")),
            ),
            ("incr", batch(|key| format!("incr {key} 1\r\n"))),
            ("delete", batch(|key| format!("delete {key}\r\n"))),
            ("touch", batch(|key| format!("touch {key} 300\r\n"))),
        ];
        for (name, (input, steps)) in &cases {
            measure(&format!("{dialect:?} {name}"), *steps, || {
                black_box(parse_all(input, &limits));
            });
        }
    }
    for (name, (input, steps)) in [
        ("answer VALUE of 100 bytes", batch(|key| format!("VALUE {key} 0 100\r\n{value}\r\n"))),
        ("answer HD", batch(|_| "HD\r\n".to_owned())),
        ("answer VA with f t c", batch(|_| format!("VA 100 f0 t-1 c1234567890123\r\n{value}\r\n"))),
        ("answer EN", batch(|_| "EN\r\n".to_owned())),
        ("answer END", batch(|_| "END\r\n".to_owned())),
    ] {
        measure(name, steps, || {
            let mut rest = input.as_slice();
            while let Ok(Some((response, consumed))) = response::parse(black_box(rest)) {
                black_box(&response);
                rest = rest.get(consumed..).unwrap_or_default();
            }
        });
    }
    let mut out = Vec::with_capacity(1024 * 1024);
    measure("encode ms of 100 bytes", 512, || {
        out.clear();
        for version in 0..512 {
            encode::store(
                &mut out,
                &Store {
                    mode: StoreMode::Set,
                    key: black_box(b"a-key-of-twenty-byte"),
                    flags: 0,
                    exptime: 0,
                    version: (1 << 62) + version,
                    compare: None,
                    binary: false,
                    value: black_box(value.as_bytes()),
                },
            );
        }
        black_box(&out);
    });
    measure("encode get", 512, || {
        out.clear();
        for _ in 0..512 {
            let key: &[u8] = black_box(b"a-key-of-twenty-byte");
            encode::get(&mut out, false, [key]);
        }
        black_box(&out);
    });
}
