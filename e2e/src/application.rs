//! What an application does with memcached, by a client library as applications use: `e2e client`, which the cluster
//! tests run in a pod. Answers are JSON lines on stdout.
//!
//! - [`items`] are the items that [`fill`] writes and [`check`] compares, made from their number.
//! - [`load`] reads and writes all the time and counts what an application would have noticed.
//! - [`lag`] measures how long a write takes to the other replica, [`served`] when a server answers at all.

pub mod items;
pub mod lag;
pub mod load;
pub mod served;

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use memcache::{Client, MemcacheError};
use serde::{Deserialize, Serialize};

use crate::client::{Address, Client as Raw};
use crate::contents;
use items::{Item, Received};

/// What to do as a client.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write one value
    Set {
        /// Where: HOST:PORT
        server: String,
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Read one value
    Get {
        /// Where: HOST:PORT
        server: String,
        /// The key
        key: String,
    },
    /// Delete one key
    Delete {
        /// Where: HOST:PORT
        server: String,
        /// The key
        key: String,
    },
    /// Write numbered items, each with flags, some with a time to live
    Fill(Range),
    /// Compare what a server holds with what `fill` wrote there or elsewhere
    Check(Range),
    /// Delete numbered items
    Remove(Range),
    /// Read and write until stdin says so or ends
    Load(load::Options),
    /// Write to one server and wait for it at the other one, until stdin says so or ends
    Lag(lag::Options),
    /// Ask whether a server answers, until stdin says so or ends
    Served(served::Options),
    /// Do nothing until killed: a pod to run the others in
    Idle,
}

/// Numbered items at one server.
#[derive(Debug, clap::Args)]
pub struct Range {
    /// Where: HOST:PORT
    pub server: String,
    /// What the keys begin with
    #[arg(long, default_value = "item")]
    pub prefix: String,
    /// The first number
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// How many
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// Another generation has other values under the same keys
    #[arg(long, default_value_t = 0)]
    pub generation: u64,
}

/// The answer to `get`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Got {
    /// the value as text; None: a miss
    pub value: Option<String>,
}

/// The answer to `fill`, `check` and `remove`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Compared {
    /// as they should be
    pub good: u64,
    /// not there
    pub missing: u64,
    /// another value, other flags or another time to live
    pub different: u64,
    /// the first few that are not good, for a person
    pub examples: Vec<String>,
}

impl Compared {
    fn note(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < 5 {
            self.examples.push(example());
        }
    }
}

/// How often a connection that breaks while items are written is made anew: where the whole machine stands still for
/// seconds, sidecars close their clients.
const RECONNECTS: u32 = 3;

/// Connects the library to one server: one connection, deadlines on everything.
pub fn connect(server: &str) -> Result<Client, MemcacheError> {
    Client::builder()
        .add_server(format!("memcache://{server}?protocol=ascii&tcp_nodelay=true").as_str())?
        .with_max_pool_size(1)
        .with_connection_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(5))
        .with_write_timeout(Duration::from_secs(5))
        .build()
}

/// Runs one action.
pub fn run(action: &Action) -> Result<()> {
    match action {
        Action::Set { server, key, value } => connect(server)?.set(key, value, 0).context("set")?,
        Action::Get { server, key } => {
            let value = connect(server)?.get::<String>(key).context("get")?;
            answer(&Got { value })?;
        }
        Action::Delete { server, key } => {
            connect(server)?.delete(key).context("delete")?;
        }
        Action::Fill(range) => answer(&fill(range)?)?,
        Action::Check(range) => answer(&check(range)?)?,
        Action::Remove(range) => answer(&remove(range)?)?,
        Action::Load(options) => answer(&load::run(options)?)?,
        Action::Lag(options) => answer(&lag::run(options)?)?,
        Action::Served(options) => answer(&served::run(options)?)?,
        Action::Idle => loop {
            std::thread::park();
        },
    }
    Ok(())
}

fn answer(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// Becomes true when stdin has a line or ends.
fn told_to_stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&stop);
    thread::spawn(move || {
        let mut line = String::new();
        // an error is the end of it too
        let _ = std::io::stdin().lock().read_line(&mut line);
        heard.store(true, Ordering::Relaxed);
    });
    stop
}

fn each(range: &Range) -> impl Iterator<Item = Item> {
    (range.from..range.from + range.count).map(|number| Item::new(&range.prefix, number, range.generation))
}

/// Writes the items of a range.
fn fill(range: &Range) -> Result<Compared> {
    let mut client = connect(&range.server)?;
    let mut done = Compared::default();
    let mut reconnects = 0;
    for item in each(range) {
        while let Err(error) = client.set(&item.key, &item, item.ttl) {
            if reconnects == RECONNECTS {
                return Err(error).with_context(|| format!("set {}", item.key));
            }
            reconnects += 1;
            client = connect(&range.server)?;
        }
        done.good += 1;
    }
    Ok(done)
}

/// Deletes the items of a range.
fn remove(range: &Range) -> Result<Compared> {
    let client = connect(&range.server)?;
    let mut done = Compared::default();
    for item in each(range) {
        match client.delete(&item.key).with_context(|| format!("delete {}", item.key))? {
            true => done.good += 1,
            false => done.missing += 1,
        }
    }
    Ok(done)
}

/// Reads the items of a range, many at a time, and compares value, flags and time to live.
fn check(range: &Range) -> Result<Compared> {
    let client = connect(&range.server)?;
    let lives = lives(&range.server)?;
    let mut done = Compared::default();
    let items: Vec<_> = each(range).collect();
    for some in items.chunks(100) {
        let keys: Vec<_> = some.iter().map(|item| item.key.as_str()).collect();
        let mut found = client.gets::<Received>(&keys).context("get of many keys")?;
        for item in some {
            let Some(received) = found.remove(&item.key) else {
                done.missing += 1;
                done.note(|| format!("{} is missing", item.key));
                continue;
            };
            match item.difference(&received, lives.get(&item.key).copied()) {
                None => done.good += 1,
                Some(difference) => {
                    done.different += 1;
                    done.note(|| format!("{}: {difference}", item.key));
                }
            }
        }
    }
    Ok(done)
}

/// Seconds that each item has left, -1 without end: by a metadump, since no classic command tells it.
fn lives(server: &str) -> Result<HashMap<String, i64>> {
    let mut client = Raw::connect(&address(server)?)?;
    let stats = client.lines_until("stats", "END")?;
    let time = stats.iter().find_map(|line| line.strip_prefix("STAT time ")).context("stats without a time")?;
    let now: i64 = time.parse().context("time of stats")?;
    let life = |end: Option<u64>| end.map_or(-1, |end| end as i64 - now);
    let listed = contents::keys(&mut client)?;
    Ok(listed.into_iter().map(|(key, end)| (String::from_utf8_lossy(&key).into_owned(), life(end))).collect())
}

/// The first address a name has.
fn address(server: &str) -> Result<Address> {
    use std::net::ToSocketAddrs;
    match server.to_socket_addrs().with_context(|| format!("cannot resolve {server}"))?.next() {
        Some(address) => Ok(Address::from(address)),
        None => bail!("{server} has no address"),
    }
}
