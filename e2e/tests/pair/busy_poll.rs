//! `--busy-poll` looks for an answer only while one is to come, and not for long.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::process::{Pair, Process, Replica};
use rustix::process::Signal;

const LOOK: Duration = Duration::from_secs(1);

/// The share of one core that the sidecar of a replica takes for a while.
fn share(replica: &Replica) -> Result<f64> {
    let cpu = || replica.sidecar.process().map(Process::cpu_time).context("the sidecar is gone")?;
    let (before, started) = (cpu()?, Instant::now());
    std::thread::sleep(LOOK);
    Ok((cpu()? - before).as_secs_f64() / started.elapsed().as_secs_f64())
}

#[test]
fn it_answers_and_takes_no_cpu_time_for_nothing() -> Result<()> {
    let pair = Pair::start(&crate::options("busy-poll")?.sidecar(&["--busy-poll", "1000"]))?;
    crate::both_directions(&pair, |here, there, word| {
        let mut client = here.client()?;
        for number in 0..200 {
            let key = format!("{word}:{number}");
            client.set(&key, "value")?;
            ensure!(client.get(&key)?.as_deref() == Some("value"), "{key}");
        }
        there.wait_value(&format!("{word}:199"), Some("value"))
    })?;
    let idle = share(&pair.a)?;
    ensure!(idle < 0.3, "{:.0} % of a core with nothing to do", idle * 100.0);

    // memcached does not answer at all: after the time is over the worker sleeps.
    let memcached = pair.a.memcached.process().context("memcached is gone")?;
    let mut client = pair.a.client()?;
    memcached.suspend()?;
    client.send(b"get forth:1\r\n")?;
    let waiting = share(&pair.a)?;
    memcached.signal(Signal::CONT)?;
    ensure!(waiting < 0.3, "{:.0} % of a core while memcached stands still", waiting * 100.0);
    ensure!(client.line()?.starts_with("VALUE forth:1 "), "not answered");
    Ok(())
}
