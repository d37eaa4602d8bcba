//! The comparison itself: it must find every single wrong byte, and find nothing where nothing is wrong.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::client::Address;
use e2e::memcached::{Suite, find};
use e2e::process::{Memcached, Proxy, TempDir};

use crate::compare::CasPairs;
use crate::script::{self, Case, Cut};

fn sample() -> Case {
    let mut case = Case::new("self-check", "a bit of everything")
        .ask("set k 5 0 3\r\nabc\r\ngets k\r\ngets k\r\n")
        .ask("incr k 1\r\ndelete k\r\nget k\r\n");
    case.patience = Duration::from_millis(300);
    case
}

#[test]
fn each_flipped_bit_of_an_answer_is_found() -> Result<()> {
    let directory = TempDir::new()?;
    let executable = find(Suite::Trixie)?;
    let memcached = Memcached::on_tcp(&executable, &[], &directory.path().join("log"))?;
    let Address::Tcp(target) = memcached.address() else { bail!("not TCP") };
    let proxy = Proxy::start(*target)?;
    let through = Address::Tcp(proxy.address());
    let version = executable.version.to_string();
    let case = sample();

    let expected = script::run(&case, memcached.address(), &version, Cut::Whole)?;
    let unaltered = script::run(&case, &through, &version, Cut::Whole)?;
    CasPairs::default().compare(&expected, &unaltered).map_err(anyhow::Error::msg).context("an unaltered answer")?;

    let length: usize = expected.0.iter().map(|reply| reply.bytes.len()).sum();
    for position in 0..length {
        proxy.set(|faults| faults.backward.flipped = Some(position as u64));
        let found = match script::run(&case, &through, &version, Cut::Whole) {
            Ok(seen) => CasPairs::default().compare(&expected, &seen).is_err(),
            // The sentinel was hit, so the end of the answer did not come.
            Err(_) => true,
        };
        anyhow::ensure!(found, "the altered byte {position} of {length} was not found");
    }
    Ok(())
}
