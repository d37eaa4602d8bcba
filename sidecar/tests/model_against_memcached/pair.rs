//! A real memcached and the model side by side.

use std::{path::PathBuf, thread, time::Duration};

use crate::{
    client::Client,
    commands::{Conversation, KEYS, Turn},
    memcached::{Config, ConnId, Memcached, Version},
    real_memcached,
    seconds::{self, Step},
};

/// `-I` and `-o slab_chunk_max` of both: small, so that values around the limits are cheap.
const ITEM_SIZE_MAX: usize = 2048;
const SLAB_CHUNK_MAX: usize = 1024;
/// A conversation that cannot be repeated within one second for so often is given up.
const ATTEMPTS: usize = 5;

/// After so long memcached has surely taken what was written.
const TIME_TO_READ: Duration = Duration::from_millis(20);

pub(crate) struct Pair {
    version: Version,
    real: real_memcached::Memcached,
    control: Client,
    /// Unix second of the real one's start.
    start: u64,
    /// Conversations that had to be repeated.
    pub(crate) repeated: usize,
}

/// What one side answered, turn by turn.
type Transcript = Vec<Vec<u8>>;

impl Pair {
    pub(crate) fn start(version: Version, executable: &PathBuf) -> Self {
        let arguments = ["-I", "2k", "-o", "slab_chunk_max=1"];
        let real = real_memcached::Memcached::start(executable, &arguments).expect("memcached starts");
        let mut control = Client::new(&real);
        let stats = Stats::ask(&mut control);
        Self { version, real, control, start: stats.time - stats.uptime + 2, repeated: 0 }
    }

    /// Holds the conversation with both. It is repeated when the second changed in between, and when the answers differ: an
    /// item that memcached's LRU thread holds for a moment is answered differently. A model that is wrong always differs.
    pub(crate) fn compare(&mut self, conversation: &Conversation) -> Result<(), String> {
        let mut difference = String::new();
        for attempt in 0..ATTEMPTS {
            self.repeated += usize::from(attempt > 0);
            let Some((expected, real)) = self.converse(conversation) else {
                continue;
            };
            if expected == real {
                return Ok(());
            }
            difference = describe(conversation, &expected, &real);
        }
        Err(difference)
    }

    /// The transcripts of model and real memcached; none when the second changed.
    fn converse(&mut self, conversation: &Conversation) -> Option<(Transcript, Transcript)> {
        let time = self.time();
        let mut client = Client::new(&self.real);
        let (mut model, connection) = self.model(time, clear(&mut client));
        let (mut expected, mut real) = (Vec::new(), Vec::new());
        for turn in &conversation.turns {
            let bytes = turn.bytes(time);
            model.input(connection, &bytes);
            model.run(connection);
            let answer = model.output(connection).map(std::mem::take).unwrap_or_default();
            client.send(&bytes);
            let mut received = client.receive(answer.len());
            received.extend(client.excess());
            match turn {
                Turn::Pipeline(_) => {
                    expected.push(answer);
                    real.push(received);
                }
                Turn::Dump(_) => {
                    expected.push(sorted(&answer));
                    real.push(sorted(&received));
                }
            }
            if model.is_closed(connection) {
                break;
            }
        }
        (self.time() == time).then_some((expected, real))
    }

    /// Follows a script of commands and pauses. It is repeated when a second passes where none should.
    pub(crate) fn follow(&mut self, script: &[Step]) -> Result<(), String> {
        let mut difference = "seconds are too short for this machine".to_owned();
        for _ in 0..ATTEMPTS {
            match self.play(script) {
                Some(Ok(())) => return Ok(()),
                Some(Err(report)) => difference = report,
                None => {}
            }
        }
        Err(difference)
    }

    fn play(&mut self, script: &[Step]) -> Option<Result<(), String>> {
        let now = self.time();
        let begin = self.next_second(now);
        let mut time = begin;
        let mut client = Client::new(&self.real);
        let (mut model, connection) = self.model(time, clear(&mut client));
        for step in script {
            let mut bytes = Vec::new();
            match step {
                Step::Wait(seconds) => {
                    for _ in 0..*seconds {
                        time = self.next_second(time);
                    }
                    model.set_time(time);
                    continue;
                }
                Step::Send(commands) => seconds::push(&mut bytes, commands, begin),
                Step::Bytes(part) => bytes.extend_from_slice(part.as_bytes()),
            }
            model.input(connection, &bytes);
            model.run(connection);
            let expected = model.output(connection).map(std::mem::take).unwrap_or_default();
            client.send(&bytes);
            let mut real = client.receive(expected.len());
            if matches!(step, Step::Bytes(_)) {
                thread::sleep(TIME_TO_READ);
            }
            real.extend(client.excess());
            if self.time() != time {
                return None;
            }
            let same = match String::from_utf8_lossy(&bytes).contains("metadump hash") {
                true => sorted(&expected) == sorted(&real),
                false => expected == real,
            };
            if !same {
                return Some(Err(format!(
                    "after {} s\n  sent  {}\n  model {}\n  real  {}",
                    time - begin,
                    readable(&bytes),
                    readable(&expected),
                    readable(&real)
                )));
            }
        }
        Some(Ok(()))
    }

    fn time(&mut self) -> u64 {
        Stats::ask(&mut self.control).time
    }

    /// Waits for the end of the second.
    fn next_second(&mut self, time: u64) -> u64 {
        loop {
            let now = self.time();
            if now > time {
                return now;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// An empty model at the given time and state of the CAS counter, with a connection.
    fn model(&self, time: u64, last_cas: u64) -> (Memcached, ConnId) {
        let mut model = Memcached::new(Config {
            version: self.version,
            item_size_max: ITEM_SIZE_MAX,
            slab_chunk_max: SLAB_CHUNK_MAX,
            start: self.start,
            ..Config::default()
        });
        model.set_time(time);
        model.set_last_cas(last_cas);
        let connection = model.connect();
        model.input(connection, b"flush_all\r\n");
        model.run(connection);
        model.output(connection).map(std::mem::take);
        (model, connection)
    }
}

/// Empties the real one, and tells its CAS counter. By the connection of the conversation: memcached keeps a CAS that a failed
/// `ms` has left behind even for the next connection with the same descriptor.
fn clear(client: &mut Client) -> u64 {
    let mut commands = Vec::new();
    for key in KEYS {
        commands.extend_from_slice(format!("md {key}\r\n").as_bytes());
    }
    commands
        .extend_from_slice(b"flush_all\r\nset last 0 0 0\r\n\r\nset last 0 0 0\r\n\r\nmg last c\r\nmd last\r\nmn\r\n");
    let answers = client.ask(&commands, b"MN\r\n");
    let answers = String::from_utf8_lossy(&answers);
    let cas = answers.lines().find_map(|line| line.strip_prefix("HD c"));
    cas.and_then(|cas| cas.parse().ok()).expect("a CAS")
}

/// Lines of a dump in an order that does not depend on the hash.
fn sorted(dump: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = dump.split_inclusive(|&b| b == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

fn describe(conversation: &Conversation, expected: &Transcript, real: &Transcript) -> String {
    let mut text = String::new();
    for ((turn, expected), real) in conversation.turns.iter().zip(expected).zip(real) {
        let sent = turn.bytes(0);
        let sign = if expected == real { "same" } else { "DIFFERENT" };
        text += &format!(
            "\n{sign}\n  sent  {}\n  model {}\n  real  {}",
            readable(&sent),
            readable(expected),
            readable(real)
        );
    }
    text
}

/// Escaped, with long runs of one byte shortened.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        let shown = run.len().min(3);
        text += &run[..shown].escape_ascii().to_string();
        if shown < run.len() {
            text += &format!("<{} times>", run.len());
        }
    }
    text
}

struct Stats {
    time: u64,
    uptime: u64,
}

impl Stats {
    fn ask(client: &mut Client) -> Self {
        let answer = client.ask(b"stats\r\n", b"END\r\n");
        let answer = String::from_utf8_lossy(&answer);
        let number = |name: &str| {
            let prefix = format!("STAT {name} ");
            let value = answer.lines().find_map(|line| line.strip_prefix(&prefix));
            value.and_then(|value| value.parse().ok()).expect("a statistic")
        };
        Self { time: number("time"), uptime: number("uptime") }
    }
}
