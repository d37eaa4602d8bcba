//! What is sent, and how the end of each answer is known without waiting for silence.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::tokens::Tokens;
use crate::client::{Address, Client, Excerpt};
use crate::wait::wait_for;

/// Sent behind each request; its answer, which no other command has, marks the end of the answer to the request.
fn sentinel(request: &[u8], version: &str) -> (&'static [u8], Vec<u8>) {
    let contains = |word: &[u8]| request.windows(word.len()).any(|window| window == word);
    if contains(b"version") {
        (b"shutdown\r\n", b"ERROR: shutdown not enabled\r\n".to_vec())
    } else {
        (b"version\r\n", format!("VERSION {version}\r\n").into_bytes())
    }
}

/// One thing a client does. The number is its connection, opened when first used.
#[derive(Clone)]
pub enum Step {
    /// send, and read all that is answered
    Ask(usize, Vec<u8>),
    /// send as the last bytes, and read to the end of the connection
    Last(usize, Vec<u8>),
    /// send, and read until these bytes have come; for streams, which no sentinel ends
    Await(usize, Vec<u8>, Vec<u8>),
    /// send, and close without reading
    Abandon(usize, Vec<u8>),
    /// send on a new connection, again and again until the answer is this one
    Poll(Vec<u8>, Vec<u8>),
}

/// A named sequence of steps.
#[derive(Clone)]
pub struct Case {
    /// number in the list of edge cases, or the command
    pub about: String,
    /// what it shows
    pub name: String,
    /// in their order
    pub steps: Vec<Step>,
    /// what memcached's own answers must contain, so that the case tests what it says
    pub shows: Vec<String>,
    /// the answer depends on what arrives together
    pub one_segment: bool,
    /// time to answer
    pub patience: Duration,
}

impl Case {
    /// One without steps.
    pub fn new(about: &str, name: &str) -> Self {
        Case {
            about: about.to_owned(),
            name: name.to_owned(),
            steps: Vec::new(),
            shows: Vec::new(),
            one_segment: false,
            patience: Duration::from_secs(10),
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// [`Step::Ask`] on the first connection.
    pub fn ask(self, bytes: impl AsRef<[u8]>) -> Self {
        self.ask_on(0, bytes)
    }

    /// [`Step::Ask`].
    pub fn ask_on(self, connection: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Ask(connection, bytes.as_ref().to_vec()))
    }

    /// [`Step::Last`] on a connection of its own.
    pub fn last(self, bytes: impl AsRef<[u8]>) -> Self {
        let connection = 100 + self.steps.len();
        self.step(Step::Last(connection, bytes.as_ref().to_vec()))
    }

    /// [`Step::Abandon`] on a connection of its own.
    pub fn abandon(self, bytes: impl AsRef<[u8]>) -> Self {
        let connection = 100 + self.steps.len();
        self.step(Step::Abandon(connection, bytes.as_ref().to_vec()))
    }

    /// [`Step::Await`] on a connection of its own.
    pub fn wait(self, bytes: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Self {
        let connection = 100 + self.steps.len();
        self.step(Step::Await(connection, bytes.as_ref().to_vec(), answer.as_ref().to_vec()))
    }

    /// [`Step::Poll`].
    pub fn poll(self, bytes: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Self {
        self.step(Step::Poll(bytes.as_ref().to_vec(), answer.as_ref().to_vec()))
    }

    /// Memcached's own answers must contain this text.
    pub fn shows(mut self, text: &str) -> Self {
        self.shows.push(text.to_owned());
        self
    }

    /// The answer depends on what arrives together.
    pub fn one_segment(mut self) -> Self {
        self.one_segment = true;
        self
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "case {} ({})", self.about, self.name)?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Ask(connection, bytes) => write!(f, "\n  {connection} ask {:?}", Excerpt(bytes)),
            Step::Last(connection, bytes) => {
                write!(f, "\n  {connection} last {:?}", Excerpt(bytes))
            }
            Step::Await(connection, bytes, answer) => {
                write!(f, "\n  {connection} send {:?} until {:?}", Excerpt(bytes), Excerpt(answer))
            }
            Step::Abandon(connection, bytes) => {
                write!(f, "\n  {connection} abandon {:?}", Excerpt(bytes))
            }
            Step::Poll(bytes, answer) => write!(f, "\n  poll {:?} until {:?}", Excerpt(bytes), Excerpt(answer)),
        })
    }
}

/// How the bytes of a request are cut into writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// one write
    #[default]
    Whole,
    /// one byte each (the first few hundred, for long ones)
    Bytes,
    /// pieces of random lengths
    Random(u64),
}

impl Cut {
    /// What each case of the tables is run with.
    pub const ALL: [Cut; 3] = [Cut::Whole, Cut::Bytes, Cut::Random(7)];

    /// The pieces. Few enough that a long value does not take a million writes.
    pub fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        let mut random = match self {
            Cut::Random(seed) => seed | 1,
            Cut::Whole | Cut::Bytes => 1,
        };
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() && pieces.len() < 300 && self != Cut::Whole {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let length = match self {
                Cut::Random(_) => 1 + usize::try_from(random >> 33).unwrap_or(0) % 40,
                Cut::Whole | Cut::Bytes => 1,
            };
            let (piece, left) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        if !rest.is_empty() {
            pieces.push(rest);
        }
        pieces
    }
}

/// What a client got for one step.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// all that came
    pub bytes: Vec<u8>,
    /// the other side closed the connection
    pub closed: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", Excerpt(&self.bytes), if self.closed { " <closed>" } else { "" })
    }
}

/// What was got for all steps, in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen(pub Vec<Reply>);

impl Seen {
    /// Whether a reply contains these bytes; `<closed>` stands for the end of a connection.
    pub fn contains(&self, text: &[u8]) -> bool {
        let found = |reply: &Reply| reply.bytes.windows(text.len()).any(|window| window == text);
        (text == b"<closed>" && self.0.iter().any(|reply| reply.closed)) || self.0.iter().any(found)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|reply| write!(f, "{reply:?} "))
    }
}

/// Runs all steps against one address. `version` is that of the memcached there.
pub fn run(case: &Case, address: &Address, version: &str, cut: Cut) -> Result<Seen> {
    let mut session = Session::new(address, case.patience);
    let mut seen = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let reply = session.step(step, version, cut).with_context(|| format!("step {}", number + 1))?;
        session.tokens.learn_lines(&reply.bytes);
        seen.push(reply);
    }
    Ok(Seen(seen))
}

/// A client with its connections.
pub(super) struct Session<'a> {
    address: &'a Address,
    patience: Duration,
    clients: BTreeMap<usize, Client>,
    pub(super) tokens: Tokens,
}

impl<'a> Session<'a> {
    pub(super) fn new(address: &'a Address, patience: Duration) -> Self {
        Session { address, patience, clients: BTreeMap::new(), tokens: Tokens::default() }
    }

    /// What the answers tell of cas numbers is for the caller to learn.
    pub(super) fn step(&mut self, step: &Step, version: &str, cut: Cut) -> Result<Reply> {
        match step {
            Step::Ask(connection, bytes) => {
                let mut bytes = self.tokens.fill_in(bytes);
                let (question, answer) = sentinel(&bytes, version);
                bytes.extend_from_slice(question);
                let client = self.send(*connection, &bytes, cut)?;
                let (bytes, closed) = client.read_or_closed(|input| input.ends_with(&answer).then_some(input.len()))?;
                if closed {
                    self.clients.remove(connection);
                }
                Ok(Reply { bytes, closed })
            }
            Step::Last(connection, bytes) => {
                let bytes = self.tokens.fill_in(bytes);
                let client = self.send(*connection, &bytes, cut)?;
                client.finish_sending();
                let bytes = client.read_to_end()?;
                self.clients.remove(connection);
                Ok(Reply { bytes, closed: true })
            }
            Step::Await(connection, bytes, answer) => {
                let client = self.send(*connection, bytes, cut)?;
                let (bytes, closed) = client.read_or_closed(|input| {
                    let at = input.windows(answer.len()).position(|window| window == answer)?;
                    Some(at + answer.len())
                })?;
                Ok(Reply { bytes, closed })
            }
            Step::Abandon(connection, bytes) => {
                self.send(*connection, bytes, cut)?;
                self.clients.remove(connection);
                Ok(Reply { bytes: Vec::new(), closed: true })
            }
            Step::Poll(bytes, answer) => {
                let what = format!("{:?} to be answered by {:?}", Excerpt(bytes), Excerpt(answer));
                let (question, end) = sentinel(bytes, version);
                let bytes = wait_for(&what, self.patience, || {
                    let mut client = Client::connect(self.address).ok()?;
                    client.send(&[bytes, question].concat()).ok()?;
                    let mut got = client.read_until(|input| input.ends_with(&end).then_some(input.len())).ok()?;
                    got.truncate(got.len() - end.len());
                    (got == *answer).then_some(got)
                })?;
                Ok(Reply { bytes, closed: false })
            }
        }
    }

    fn send(&mut self, connection: usize, bytes: &[u8], cut: Cut) -> Result<&mut Client> {
        let client = match self.clients.entry(connection) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Client::connect(self.address)?.patience(self.patience))
            }
        };
        cut.pieces(bytes).into_iter().try_for_each(|piece| client.send(piece))?;
        Ok(client)
    }
}
