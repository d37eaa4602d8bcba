//! An application under way: it reads and writes all the time over one connection, and connects again once when that
//! connection closes. Not by the library, whose pool tries again and again behind the application's back.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::items::Item;
use super::{address, told_to_stop};
use crate::client::Client;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads and writes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where: HOST:PORT
    pub server: String,
    /// What the keys begin with
    #[arg(long, default_value = "load")]
    pub prefix: String,
    /// How many keys
    #[arg(long, default_value_t = 1000)]
    pub keys: u64,
    /// Pause after each command, milliseconds
    #[arg(long, default_value_t = 2)]
    pub pause: u64,
}

/// What the application noticed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// commands that were answered
    pub commands: u64,
    /// reads of a key that it had written before and that was not there
    pub misses: u64,
    /// reads of a value that was never the last one written
    pub stale: u64,
    /// connections that closed or failed and were made again
    pub reconnects: u64,
    /// commands that failed although it connected again
    pub errors: u64,
    /// the first few errors
    pub examples: Vec<String>,
    /// the longest time a command took with its second try, milliseconds
    pub slowest_ms: u64,
    /// the last generation written of each key is `generations[key]`: so that others can check
    pub generations: Vec<u64>,
}

/// Runs until stdin has a line or ends; prints `started` when the first round of writes is done.
pub fn run(options: &Options) -> Result<Report> {
    let stop = told_to_stop();
    let mut application = Application::new(options)?;
    for number in 0..options.keys {
        application.write(number);
    }
    println!("started");
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = turn / 2 % options.keys;
        // one write and one read of another key, so that reads see writes of some time ago
        if turn % 2 == 0 {
            application.write(number)
        } else {
            application.read((number + options.keys / 2) % options.keys)
        }
        turn += 1;
        thread::sleep(Duration::from_millis(options.pause));
    }
    Ok(application.report)
}

struct Application<'a> {
    options: &'a Options,
    /// None: the last attempt to connect failed
    client: Option<Client>,
    report: Report,
}

impl<'a> Application<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let report = Report { generations: vec![0; options.keys as usize], ..Report::default() };
        Ok(Application { options, client: Some(connect(&options.server)?), report })
    }

    /// One command, tried once more over a new connection if the old one failed.
    fn command<T>(&mut self, what: &str, call: impl Fn(&mut Client) -> Result<T>) -> Option<T> {
        let start = Instant::now();
        let first = self.client.as_mut().and_then(|client| call(client).ok());
        let answer = match first {
            Some(answer) => Ok(answer),
            None => {
                self.report.reconnects += 1;
                self.client = None;
                connect(&self.options.server).and_then(|mut client| {
                    let answer = call(&mut client)?;
                    self.client = Some(client);
                    Ok(answer)
                })
            }
        };
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report.slowest_ms = self.report.slowest_ms.max(took);
        match answer {
            Ok(answer) => {
                self.report.commands += 1;
                Some(answer)
            }
            Err(error) => {
                self.report.errors += 1;
                if self.report.examples.len() < 5 {
                    self.report.examples.push(format!("{what} after {took} ms: {error:#}"));
                }
                None
            }
        }
    }

    fn write(&mut self, number: u64) {
        let index = number as usize;
        let item = Item::new(&self.options.prefix, number, self.report.generations[index] + 1);
        let set = |client: &mut Client| {
            let answer = client.store("set", &item.key, item.flags, i64::from(item.ttl), &item.value)?;
            ensure!(answer == "STORED", "set {}: {answer}", item.key);
            Ok(())
        };
        if self.command("set", set).is_some() {
            self.report.generations[index] += 1;
        }
    }

    fn read(&mut self, number: u64) {
        let generation = self.report.generations[number as usize];
        let item = Item::new(&self.options.prefix, number, generation);
        match self.command("get", |client| client.gets(&item.key)) {
            Some(Some(found)) if found.data != item.value => self.report.stale += 1,
            Some(None) if generation > 0 => self.report.misses += 1,
            _ => {}
        }
    }
}

fn connect(server: &str) -> Result<Client> {
    Ok(Client::connect(&address(server)?)?.patience(PATIENCE))
}
