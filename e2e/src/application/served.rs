//! When a server answers clients: over a connection that it has from the beginning, and over new ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{address, told_to_stop};
use crate::client::{Address, Client};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer may take; a server that hangs is asked again by the next connection.
const PATIENCE: Duration = Duration::from_millis(500);
/// An answer that comes later than this after the one before is the beginning of another time of service.
const GAP: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where: HOST:PORT
    pub server: String,
}

/// What was seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// questions that were answered
    pub answers: u64,
    /// the times of service, in the order they came, one for both kinds of connection: how long each lasted from its
    /// first answer to its last, milliseconds
    pub times_ms: Vec<u64>,
}

/// Runs until stdin has a line or ends; prints `started` after the first answer over the connection that is kept.
pub fn run(options: &Options) -> Result<Report> {
    let stop = told_to_stop();
    let address = address(&options.server)?;
    let mut kept = Client::connect(&address)?;
    ask(&mut kept)?;
    println!("started");
    // each kind in a thread of its own: one that hangs must not hide the other
    let answers: Vec<Instant> = thread::scope(|scope| {
        let fresh = scope.spawn(|| by_new_connections(&address, &stop));
        let mut answers = by_one_connection(kept, &stop);
        answers.extend(fresh.join().unwrap_or_default());
        answers
    });
    report(answers)
}

/// Asks over one connection until it is closed, whatever time an answer takes.
fn by_one_connection(client: Client, stop: &AtomicBool) -> Vec<Instant> {
    let mut client = client.patience(PATIENCE);
    let mut answers = Vec::new();
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        // a question that is on its way is not asked again, so that each answer has its question
        if asked == answers.len() {
            let _ = client.send(b"version\r\n");
            asked += 1;
        }
        match client.line() {
            Ok(line) if line.starts_with("VERSION") => answers.push(Instant::now()),
            Err(_) if !client.is_closed() => {}
            Ok(_) | Err(_) => break,
        }
        thread::sleep(PAUSE);
    }
    answers
}

fn by_new_connections(address: &Address, stop: &AtomicBool) -> Vec<Instant> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let answered = Client::connect_within(address, PATIENCE).and_then(|client| ask(&mut client.patience(PATIENCE)));
        if answered.is_ok() {
            answers.push(Instant::now());
        }
        thread::sleep(PAUSE);
    }
    answers
}

fn ask(client: &mut Client) -> Result<()> {
    client.send(b"version\r\n")?;
    let line = client.line()?;
    ensure!(line.starts_with("VERSION"), "{line}");
    Ok(())
}

fn report(mut answers: Vec<Instant>) -> Result<Report> {
    answers.sort_unstable();
    let mut times: Vec<(Instant, Instant)> = Vec::new();
    for at in &answers {
        match times.last_mut() {
            Some((_, last)) if at.duration_since(*last) < GAP => *last = *at,
            _ => times.push((*at, *at)),
        }
    }
    let long = |(first, last): &(Instant, Instant)| u64::try_from(last.duration_since(*first).as_millis());
    let times_ms = times.iter().map(long).collect::<Result<_, _>>().context("times")?;
    Ok(Report { answers: answers.len() as u64, times_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_service_are_told_apart() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // of two threads, so not in order
        let seen = report(vec![at(0), at(400), at(60_000), at(100), at(60_900)]).unwrap();
        assert_eq!((seen.answers, seen.times_ms), (5, vec![400, 900]));
        assert_eq!(report(vec![]).unwrap().times_ms, Vec::<u64>::new());
    }
}
