//! Every queue, buffer and table at its bound: the sidecar does what is documented, and takes no more memory than it says.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::admin;
use e2e::process::{Flow, Pair, Replica};
use e2e::wait::wait_for;

use crate::clients::tcp;
use crate::options;

const MIB: u64 = 1 << 20;

fn metric(replica: &Replica, series: &str) -> Result<u64> {
    let text = replica.sidecar.metrics()?;
    Ok(admin::metric(&text, series).with_context(|| format!("no {series}"))? as u64)
}

fn connect(replica: &Replica) -> Result<TcpStream> {
    let stream = tcp(replica)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[test]
fn everything_at_its_bound_takes_no_more_than_the_sum_of_all_bounds() -> Result<()> {
    let flags = ["--backlog", "16m", "--state-entries", "4096", "--max-connections", "400"];
    let pair = Pair::start(&options("bounds")?.memcached([&["-m", "512"], &["-m", "512"]]).sidecar(&flags))?;
    let bound = metric(&pair.a, "rmc_memory_bound_bytes")?;
    let mut client = pair.a.client()?;
    client.set("large", &"x".repeat(900_000))?;

    // The backlog: the peer takes nothing.
    let stalled = Flow { stalled: true, ..Flow::default() };
    pair.link.flows(stalled.clone(), stalled);
    let value = "v".repeat(100_000);
    for number in 0..600 {
        client.set(&format!("item:{number}"), &value)?;
    }
    let backlog = metric(&pair.a, "rmc_backlog_bytes")?;
    ensure!((MIB..=17 * MIB).contains(&backlog), "the backlog holds {backlog} bytes");

    // The tables: more deletes than they have entries, which raises the floor.
    for number in 0..20_000 {
        client.send(format!("delete gone:{number} noreply\r\n").as_bytes())?;
    }
    ensure!(client.exchange("get nothing")? == "END");
    ensure!(metric(&pair.a, "rmc_tombstones")? <= 4096, "more tombstones than entries");
    wait_for("the floor to rise", Duration::from_secs(30), || {
        metric(&pair.a, "rmc_floor_raised_total").ok().filter(|raised| *raised > 0)
    })?;

    // Half values, and answers that nobody reads, until the clients that cost most are cut.
    let half = [b"set half 0 0 1000000\r\n".as_slice(), &vec![b'h'; 900_000]].concat();
    let requests = "get large\r\n".repeat(40);
    let mut halves: Vec<TcpStream> = (0..180).map(|_| connect(&pair.a)).collect::<Result<_>>()?;
    let mut greedy: Vec<TcpStream> = (0..180).map(|_| connect(&pair.a)).collect::<Result<_>>()?;
    let mut offsets = vec![0; halves.len()];
    wait_for("clients to be cut", Duration::from_secs(120), || {
        for (stream, offset) in halves.iter_mut().zip(&mut offsets) {
            *offset += stream.write(half.get(*offset..).unwrap_or_default()).unwrap_or(0);
        }
        for stream in &mut greedy {
            match stream.write(requests.as_bytes()) {
                Ok(_) => {}
                // Nothing more is taken, or it was cut: both are what is wanted.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) => {}
                Err(error) => panic!("{error}"),
            }
        }
        metric(&pair.a, "rmc_client_connections_cut_total").ok().filter(|cut| *cut > 0)
    })?;

    let process = pair.a.sidecar.process().context("the sidecar does not run")?;
    let peak = process.peak_resident()?;
    println!("peak {} MiB of {} MiB", peak / MIB, bound / MIB);
    ensure!(peak <= bound, "{} MiB resident at the peak, {} MiB are the sum of all bounds", peak / MIB, bound / MIB);
    // Not far from it either, or this test would show nothing.
    ensure!(peak >= bound / 4, "only {} of {} MiB were used", peak / MIB, bound / MIB);

    // Others are served all the while, and with the peer back both sides agree.
    ensure!(client.get("item:599")?.is_some_and(|value| value.len() == 100_000), "another client suffers");
    drop((halves, greedy));
    pair.link.heal();
    pair.wait_consistent()
}
