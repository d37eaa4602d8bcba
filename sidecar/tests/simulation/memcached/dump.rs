//! `lru_crawler`: dumps that walk the table while it changes.

use super::{
    ConnId, Server, Version,
    commands::{Outcome, Tokens},
    conn::Outbox,
    item::Item,
    upload,
};

/// State of the one crawler that memcached has.
pub(super) struct Crawler {
    client: Option<ConnId>,
    enabled: bool,
    /// A crawl of memcached's own runs.
    pub(super) busy: bool,
    /// The hash table is being moved into a greater one.
    pub(super) hash_growing: bool,
    overwritten: u32,
}

impl Crawler {
    pub(super) fn new() -> Self {
        Self { client: None, enabled: true, busy: false, hash_growing: false, overwritten: 0 }
    }

    /// A dump ended, or its client went away.
    pub(super) fn client_gone(&mut self, id: ConnId) {
        if self.client == Some(id) {
            self.client = None;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Metadump,
    Mgdump,
}

/// A running dump.
pub(super) struct Walk {
    format: Format,
    /// By the hash table; otherwise by the LRU queues of these classes.
    by_hash: bool,
    classes: u64,
    next_bucket: usize,
}

impl Walk {
    /// Lists the next bucket that has items. True: the dump has ended.
    pub(super) fn step(&mut self, server: &mut Server, output: &mut Vec<u8>) -> bool {
        if self.by_hash && server.crawler.hash_growing {
            output.extend_from_slice(b"ERROR locked try again later\r\n");
            return true;
        }
        let start = output.len();
        while let Some(items) = server.store.bucket(self.next_bucket) {
            self.next_bucket += 1;
            for item in items {
                if server.store.is_dumped(item) && self.classes & 1 << item.class != 0 {
                    self.line(server, item, output);
                }
            }
            if output.len() > start {
                return false;
            }
        }
        let end: &[u8] = match self.format {
            Format::Metadump => b"END\r\n",
            Format::Mgdump => b"EN\r\n",
        };
        let overwrites = !output.is_empty() && server.crawler.overwritten < server.config.overwrites;
        server.crawler.overwritten += u32::from(overwrites);
        let unsent = if overwrites { std::mem::take(output) } else { Vec::new() };
        output.extend_from_slice(end);
        if let Some(rest) = unsent.get(end.len()..) {
            output.extend_from_slice(rest);
            // as many bytes as were overwritten, of whatever the buffer held before
            output.resize(output.len() + end.len(), 0);
        }
        true
    }

    fn line(&self, server: &Server, item: &Item, output: &mut Vec<u8>) {
        if self.format == Format::Mgdump {
            output.extend_from_slice(b"mg ");
            upload::write_key(output, &item.key, item.key_binary);
            output.extend_from_slice(b"\r\n");
            return;
        }
        let clock = &server.store.clock;
        let mut digits = itoa::Buffer::new();
        let mut field = |output: &mut Vec<u8>, name: &[u8], number: u64| {
            output.extend_from_slice(name);
            output.extend_from_slice(digits.format(number).as_bytes());
        };
        output.extend_from_slice(b"key=");
        for &b in &item.key {
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
                output.push(b);
            } else {
                output.push(b'%');
                let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                output.extend_from_slice(&[digit(b >> 4), digit(b & 15)]);
            }
        }
        match item.exptime {
            0 => output.extend_from_slice(b" exp=-1"),
            second => field(output, b" exp=", clock.to_unix(second)),
        }
        field(output, b" la=", clock.to_unix(item.time));
        field(output, b" cas=", item.cas);
        output.extend_from_slice(if item.fetched { b" fetch=yes" } else { b" fetch=no" });
        field(output, b" cls=", u64::from(item.class));
        field(output, b" size=", item.total_size() as u64);
        field(output, b" flags=", u64::from(item.flags));
        output.extend_from_slice(match server.config.version {
            Version::V1_6_38 => b"\n",
            Version::V1_6_45 => b" \n",
        });
    }
}

/// `lru_crawler enable|disable|metadump|mgdump`.
pub(super) fn lru_crawler(server: &mut Server, out: &mut Outbox, id: ConnId, tokens: &Tokens<'_>) -> Outcome {
    let crawler = &mut server.crawler;
    // the thread ends only after the dump that it is at
    let alive = crawler.enabled || crawler.client.is_some();
    match *tokens.arguments() {
        [b"enable"] if alive => out.line("ERROR failed to start lru crawler thread"),
        [b"enable"] => {
            crawler.enabled = true;
            out.line("OK");
        }
        [b"disable"] => {
            crawler.enabled = false;
            out.line("OK");
        }
        [b"metadump", what] => return start(server, out, id, Format::Metadump, what),
        [b"mgdump", what] => return start(server, out, id, Format::Mgdump, what),
        _ => out.line("ERROR"),
    }
    Outcome::Done
}

fn start(server: &mut Server, out: &mut Outbox, id: ConnId, format: Format, what: &[u8]) -> Outcome {
    let crawler = &mut server.crawler;
    let classes = match what {
        b"all" | b"hash" => Some(u64::MAX),
        list => parse_classes(list),
    };
    let refusal = if !crawler.enabled && crawler.client.is_none() {
        "CLIENT_ERROR lru crawler disabled"
    } else if out.is_pipelined() {
        match format {
            Format::Metadump => "ERROR cannot pipeline other commands before metadump",
            Format::Mgdump => "ERROR cannot pipeline other commands before mgdump",
        }
    } else if classes.is_none() {
        "BADCLASS invalid class id"
    } else if !crawler.enabled {
        "ERROR an unknown error happened"
    } else if crawler.busy || crawler.client.is_some() {
        "BUSY currently processing crawler request"
    } else {
        ""
    };
    let (Some(classes), "") = (classes, refusal) else {
        out.line(refusal);
        return Outcome::Done;
    };
    crawler.client = Some(id);
    if server.config.version == Version::V1_6_45 {
        out.output.extend_from_slice(b"OK\r\n");
    }
    Outcome::Dump(Walk { format, by_hash: what == b"hash", classes, next_bucket: 0 })
}

/// A bit per class of a comma-separated list.
fn parse_classes(list: &[u8]) -> Option<u64> {
    let mut classes = 0;
    for class in list.split(|&b| b == b',').filter(|class| !class.is_empty()) {
        let class: u32 = std::str::from_utf8(class).ok()?.parse().ok()?;
        if !(1..64).contains(&class) {
            return None;
        }
        classes |= 1 << class;
    }
    Some(classes)
}
