//! The model of memcached that the simulation uses, compared byte for byte with real ones.
//!
//! `MEMCACHED_1_6_38` and `MEMCACHED_1_6_45` name their executables. One that is missing is skipped, and a failure with
//! `CI=true`.

#![allow(clippy::disallowed_methods, reason = "a test on threads of its own, told by the environment what to test")]

#[path = "../simulation/memcached/mod.rs"]
mod memcached;

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../real_memcached/mod.rs"]
mod real_memcached;

mod client;
mod commands;
mod pair;
mod seconds;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use memcached::Version;
use pair::Pair;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

/// The run ends early after this time, unless `PROPTEST_CASES` asks for a number of cases.
const TIME: Duration = Duration::from_secs(8);
const CASES: u32 = 1500;

fn executable(version: Version) -> Option<PathBuf> {
    real_memcached::find(match version {
        Version::V1_6_38 => "MEMCACHED_1_6_38",
        Version::V1_6_45 => "MEMCACHED_1_6_45",
    })
}

/// Random pipelines: the same bytes to both.
fn pipelines(version: Version) {
    let Some(executable) = executable(version) else {
        return;
    };
    let pair = RefCell::new(Pair::start(version, &executable));
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: wanted.unwrap_or(CASES),
        max_shrink_time: 20_000,
        failure_persistence: None,
        ..Config::default()
    };
    let started = Instant::now();
    let compared = Cell::new(0);
    let result = TestRunner::new(config).run(&commands::conversation(), |conversation| {
        if wanted.is_none() && started.elapsed() > TIME {
            return Ok(());
        }
        compared.set(compared.get() + 1);
        pair.borrow_mut().compare(&conversation).map_err(TestCaseError::fail)
    });
    let (compared, pair) = (compared.get(), pair.into_inner());
    eprintln!("{version:?}: {compared} conversations in {:?}, {} repeated", started.elapsed(), pair.repeated);
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Expiry and flushes over several seconds, each script with a memcached of its own.
fn seconds(version: Version) {
    let Some(executable) = executable(version) else {
        return;
    };
    thread::scope(|scope| {
        for script in seconds::SCRIPTS {
            scope.spawn(|| {
                let difference = Pair::start(version, &executable).follow(script).err();
                assert_eq!(difference, None, "{version:?}");
            });
        }
    });
}

#[test]
fn pipelines_1_6_38() {
    pipelines(Version::V1_6_38);
}

#[test]
fn pipelines_1_6_45() {
    pipelines(Version::V1_6_45);
}

#[test]
fn seconds_1_6_38() {
    seconds(Version::V1_6_38);
}

#[test]
fn seconds_1_6_45() {
    seconds(Version::V1_6_45);
}
