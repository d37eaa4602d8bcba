//! A client: asks one thing after the other on a connection and reads the answers.

use sidecar::clock::Version;
use sidecar::dataplane::expect::SessionId;

use crate::meta_client::{self, Parts};
use crate::plan::Plan;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Gets,
    /// A read that makes the item where there is none.
    Vivify,
    /// set, add, replace, cas, append, prepend, incr, decr: the item is there afterwards.
    Write,
    /// The same, and the item is not stale.
    Fresh,
    /// A set, touch and the like with an end in the past: where it succeeds, the item is gone.
    Remove,
    /// The item is gone whether it was there or not.
    Delete,
    /// A set near or above the limit: where it is refused, the item is gone.
    Big,
    Touch,
    Gat,
    Flush,
    FlushLater,
}

/// A request without its answer.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) key: u8,
    /// Every write that was done knowing of this request is above.
    pub(crate) low: Version,
    /// What the answer of a read must be above.
    pub(crate) known: Version,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) session: Option<SessionId>,
    /// On which worker.
    pub(crate) worker: usize,
    pub(crate) asked: std::collections::VecDeque<Request>,
    pub(crate) received: Vec<u8>,
    /// The last token seen, by key.
    pub(crate) tokens: std::collections::BTreeMap<u8, u64>,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Line(String),
    /// The CAS number of the hit.
    Values(Option<u64>),
    Meta(Meta),
}

/// What a meta command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Two letters.
    pub(crate) code: String,
    pub(crate) cas: Option<u64>,
    /// `X`.
    pub(crate) stale: bool,
    /// `W`.
    pub(crate) won: bool,
    /// `Z`.
    pub(crate) sent: bool,
}

impl Meta {
    /// `HD` or `VA`.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.code.as_str(), "HD" | "VA")
    }

    fn of(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let code = words.next().filter(|code| matches!(*code, "HD" | "VA" | "EN" | "NF" | "NS" | "EX"))?;
        let words: Vec<&str> = words.collect();
        let has = |mark| words.contains(&mark);
        let cas = words.iter().find_map(|word| word.strip_prefix('c')?.parse().ok());
        Some(Self { code: code.to_owned(), cas, stale: has("X"), won: has("W"), sent: has("Z") })
    }
}

impl Answer {
    /// The CAS number of the item that it shows.
    pub(crate) fn token(&self) -> Option<u64> {
        match self {
            Answer::Line(_) => None,
            Answer::Values(cas) => *cas,
            Answer::Meta(meta) => meta.cas.filter(|_| meta.is_success()),
        }
    }
}

impl Client {
    /// Takes the answer to the first request, once it is complete.
    pub(crate) fn take(&mut self) -> Option<(Request, Answer)> {
        let values = matches!(self.asked.front()?.asked, Asked::Gets | Asked::Gat);
        let mut at = 0;
        let mut cas = None;
        loop {
            let rest = self.received.get(at..)?;
            let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            at += end + 2;
            if values && line.starts_with("VALUE ") {
                let mut words = line.split(' ').skip(3);
                let len: usize = words.next()?.parse().ok()?;
                cas = words.next().and_then(|word| word.parse().ok());
                self.received.get(at..at + len + 2)?;
                at += len + 2;
                continue;
            }
            let meta = Meta::of(&line);
            if meta.as_ref().is_some_and(|meta| meta.code == "VA") {
                let len: usize = line.split(' ').nth(1)?.parse().ok()?;
                self.received.get(at..at + len + 2)?;
                at += len + 2;
            }
            self.received.drain(..at);
            let answer = match meta {
                Some(meta) => Answer::Meta(meta),
                None if values && line == "END" => Answer::Values(cas),
                None => Answer::Line(line),
            };
            return self.asked.pop_front().map(|request| (request, answer));
        }
    }
}

/// A random request: its bytes.
pub(crate) fn request(
    rng: &mut fastrand::Rng,
    client: &Client,
    plan: &Plan,
    unique: u64,
    memcached_unix: u64,
) -> (Asked, u8, Vec<u8>) {
    let key = rng.u8(0..plan.keys);
    let name = format!("k{key}");
    let exptime = match rng.u32(0..12) {
        0 => "-1".to_owned(),
        1 => rng.u32(1..6).to_string(),
        2 => rng.u32(20..200).to_string(),
        3 => (memcached_unix + rng.u64(20..200)).to_string(),
        _ => "0".to_owned(),
    };
    let ended = exptime == "-1";
    let write = |ended| if ended { Asked::Remove } else { Asked::Write };
    let flags = rng.u32(0..3);
    let value = format!("{unique}{}", "x".repeat(rng.usize(0..30)));
    let token = client.tokens.get(&key).copied().unwrap_or(1);
    let touch = || (if ended { Asked::Remove } else { Asked::Touch }, format!("touch {name} {exptime}\r\n"));
    if plan.touches > 0 && rng.u32(0..100) < plan.touches {
        let (asked, text) = touch();
        return (asked, key, text.into_bytes());
    }
    if rng.u32(0..100) < plan.meta {
        let parts = Parts { name: &name, exptime: &exptime, value: &value, token };
        let (asked, text) = meta_client::request(rng, &parts);
        return (asked, key, text.into_bytes());
    }
    let storing =
        |verb: &str, tail: &str| format!("{verb} {name} {flags} {exptime} {}{tail}\r\n{value}\r\n", value.len());
    let (asked, text) = match rng.u32(0..100) {
        0..=24 => (Asked::Gets, format!("gets {name}\r\n")),
        25..=49 => (write(ended), storing("set", "")),
        50..=53 => (write(ended), storing("add", "")),
        54..=57 => (write(ended), storing("replace", "")),
        58..=61 => (write(ended), storing("cas", &format!(" {token}"))),
        62..=64 => (Asked::Write, format!("append {name} 0 0 1\r\na\r\n")),
        65..=66 => (Asked::Write, format!("prepend {name} 0 0 1\r\n1\r\n")),
        67..=70 => (Asked::Write, format!("incr {name} {}\r\n", rng.u32(1..9))),
        71..=72 => (Asked::Write, format!("decr {name} {}\r\n", rng.u32(1..9))),
        73..=82 => (Asked::Delete, format!("delete {name}\r\n")),
        83..=87 => touch(),
        88..=91 => (Asked::Gat, format!("gats {exptime} {name}\r\n")),
        92..=93 => (Asked::Big, format!("set {name} 0 0 2000\r\n{}\r\n", "y".repeat(2000))),
        94..=95 => {
            // Just above the limit of an item, or of memcached's larger ones.
            let value = "z".repeat(rng.usize(930..=1000));
            (Asked::Big, format!("set {name} 0 0 {}\r\n{value}\r\n", value.len()))
        }
        96..=97 => (Asked::Flush, "flush_all\r\n".to_owned()),
        98 => (Asked::FlushLater, format!("flush_all {}\r\n", rng.u32(1..4))),
        _ => (Asked::Gets, format!("gets {name}\r\n")),
    };
    (asked, key, text.into_bytes())
}
