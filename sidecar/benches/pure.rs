//! Times of the pure parts: `cargo bench -p sidecar`. Reports are written beside what cargo builds, in `criterion`.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sidecar::protocol::encode::{self, Store};
use sidecar::protocol::{Command, Dialect, Limits, Parser, Step, StoreMode, response};

#[path = "../tests/hot_path/rig.rs"]
mod rig;

/// Requests or answers of a batch.
const BATCH: u64 = 512;

/// Lines whose keys differ in length, so that no branch is learned by heart.
fn batch(line: impl Fn(&str) -> String) -> Vec<u8> {
    let mut input = Vec::new();
    let mut seed = 1u64;
    for number in 0..BATCH {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(number);
        let length = 14 + (seed >> 33) as usize % 13;
        input.extend_from_slice(line(&format!("{number:0>length$}")).as_bytes());
    }
    input
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

fn parser(criterion: &mut Criterion) {
    let value = "v".repeat(100);
    for dialect in [Dialect::Modern, Dialect::Legacy] {
        let limits = Limits { item_size_max: 1024 * 1024, dialect, flush_enabled: true };
        let mut group = criterion.benchmark_group(format!("parse, {dialect:?}"));
        group.throughput(Throughput::Elements(BATCH));
        for (name, input) in [
            ("get", batch(|key| format!("get {key}\r\n"))),
            ("get of 10 keys", batch(|key| format!("get{}\r\n", format!(" {key}").repeat(10)))),
            ("set of 100 bytes", batch(|key| format!("set {key} 0 0 100\r\n{value}\r\n"))),
            ("set with noreply", batch(|key| format!("set {key} 4097 86400 100 noreply\r\n{value}\r\n"))),
            ("incr", batch(|key| format!("incr {key} 1\r\n"))),
            ("delete", batch(|key| format!("delete {key}\r\n"))),
        ] {
            group.bench_function(name, |bencher| bencher.iter(|| parse_all(&input, &limits)));
        }
    }
}

fn answers(criterion: &mut Criterion) {
    let value = "v".repeat(100);
    let mut group = criterion.benchmark_group("answer");
    group.throughput(Throughput::Elements(BATCH));
    for (name, input) in [
        ("VALUE of 100 bytes", batch(|key| format!("VALUE {key} 0 100\r\n{value}\r\n"))),
        ("HD", batch(|_| "HD\r\n".to_owned())),
        ("VA with f t c", batch(|_| format!("VA 100 f0 t-1 c1234567890123\r\n{value}\r\n"))),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rest = input.as_slice();
                while let Ok(Some((response, consumed))) = response::parse(black_box(rest)) {
                    black_box(&response);
                    rest = rest.get(consumed..).unwrap_or_default();
                }
            });
        });
    }
}

fn encoder(criterion: &mut Criterion) {
    let value = "v".repeat(100);
    let (key, mode): (&[u8], _) = (b"a-key-of-twenty-byte", StoreMode::Set);
    let mut out = Vec::with_capacity(1024);
    let mut group = criterion.benchmark_group("encode");
    group.bench_function("ms of 100 bytes", |bencher| {
        bencher.iter(|| {
            out.clear();
            let (key, value, version) = (black_box(key), black_box(value.as_bytes()), 1 << 62);
            let (flags, exptime, compare, binary) = (0, 0, None, false);
            encode::store(&mut out, &Store { mode, key, flags, exptime, version, compare, binary, value });
        });
    });
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode::get(&mut out, false, [black_box(key)]);
        });
    });
}

fn whole_way(criterion: &mut Criterion) {
    let mut rig = rig::Rig::new();
    let mut group = criterion.benchmark_group("worker");
    group.bench_function("get of 100 bytes", |bencher| bencher.iter(|| rig.gets(1)));
    group.bench_function("set of 100 bytes", |bencher| bencher.iter(|| rig.sets(1)));
}

criterion_group!(pure, parser, answers, encoder, whole_way);
criterion_main!(pure);
