//! Clients that write and read all the time and notice every error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Address, Client};

/// A few clients of one replica, running until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts `clients` connections to `address`. Keys are `key:0` to `key:<keys>`.
    pub(crate) fn start(address: &Address, clients: usize, keys: u64) -> Result<Self> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..clients)
            .map(|number| {
                let client = Client::connect(address)?;
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                Ok(std::thread::spawn(move || work(client, number as u64 + 1, keys, &stop, &done)))
            })
            .collect::<Result<_>>()?;
        Ok(Load { stop, done, threads })
    }

    /// Commands answered so far.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Stops, and returns how many commands were answered; an error if any client saw one.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(result) => result.context("a client saw an error")?,
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(self.done())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn work(mut client: Client, seed: u64, keys: u64, stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("key:{}", (random >> 40) % keys);
        let (answer, fine): (String, &[&str]) = match (random >> 33) % 16 {
            0..=5 => {
                client.get(&key)?;
                done.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            6..=10 => (client.store("set", &key, 1, 0, random.to_string().as_bytes())?, &["STORED"]),
            11 => (client.store("append", &key, 0, 0, b"0")?, &["STORED", "NOT_STORED"]),
            12 => (client.store("add", &key, 2, 0, b"100")?, &["STORED", "NOT_STORED"]),
            13 => (client.exchange(&format!("delete {key}"))?, &["DELETED", "NOT_FOUND"]),
            14 => (client.exchange(&format!("touch {key} 5000"))?, &["TOUCHED", "NOT_FOUND"]),
            _ => {
                let answer = client.exchange(&format!("incr {key} 3"))?;
                let number = answer.bytes().all(|byte| byte.is_ascii_digit());
                let text = answer == "CLIENT_ERROR cannot increment or decrement non-numeric value";
                ensure!(number || text || answer == "NOT_FOUND", "incr: {answer}");
                done.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        ensure!(fine.contains(&answer.as_str()), "{answer}");
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
