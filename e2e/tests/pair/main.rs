//! Pairs of real processes: two memcached, each behind its sidecar, and everything that can happen to them.

mod absence;
mod access;
mod binary;
mod busy_poll;
mod clients;
mod expiry;
mod flags;
mod life;
mod limits;
mod load;
mod meta;
mod odd_keys;
mod restarts;
mod rows;
mod seed;
mod standstill;
mod strangers;

use anyhow::Result;
use e2e::memcached::{Suite, find};
use e2e::process::{Pair, PairOptions, Replica};

/// Options of a pair with the older of the two tested versions of memcached.
fn options(name: &str) -> Result<PairOptions> {
    Ok(PairOptions::new(name, &find(Suite::Trixie)?))
}

/// Starts a pair with the default options.
fn pair(name: &str) -> Result<Pair> {
    Pair::start(&options(name)?)
}

/// Runs a check in both directions; keys begin with the given word, so that the two do not meet.
fn both_directions(pair: &Pair, check: impl Fn(&Replica, &Replica, &str) -> Result<()>) -> Result<()> {
    let [forth, back] = pair.directions();
    check(forth.0, forth.1, "forth")?;
    check(back.0, back.1, "back")
}
