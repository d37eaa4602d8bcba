//! A case of the random tests: lines and packets on several connections to one server, in order.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::compare::CasPairs;
use super::packet_compare::{self, Complete};
use super::packets::{self, Batch, End};
use super::script::{self, Cut, Reply};
use super::tokens::Tokens;
use crate::client::{Address, Excerpt};
use crate::latin1;

/// What one client does before it looks at the answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// Lines of the classic and the meta protocol. `@` stands for the prefix, the rest see
    /// [`super::tokens::Tokens::fill_in`].
    Lines {
        /// the connection, opened when first used
        on: usize,
        /// whole commands
        #[serde(with = "latin1")]
        lines: Vec<u8>,
    },
    /// Packets of the binary protocol.
    Packets(Batch),
}

/// How the memcacheds are started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// with the usual limit of a value
    #[default]
    Usual,
    /// with items of 4 KiB at most, so that what is too large is told exactly
    Small,
}

impl Server {
    /// All of them.
    pub const ALL: [Server; 2] = [Server::Usual, Server::Small];

    /// memcached's arguments. With one thread memcached has let go of what it answered with when the next request
    /// arrives, and without the maintainer no thread in the background looks at items: a number that gets shorter is
    /// padded with spaces only if nobody else holds the item.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Server::Usual => &["-t", "1", "-o", "no_lru_maintainer"],
            Server::Small => &["-t", "1", "-o", "no_lru_maintainer", "-I", "4096", "-o", "slab_chunk_max=2"],
        }
    }
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// how the bytes of each step are cut into writes
    #[serde(default)]
    pub cut: Cut,
    /// line ends behind the lines of each step, which complete a value that was announced too long
    #[serde(default)]
    pub padding: usize,
    /// where it runs
    #[serde(default)]
    pub server: Server,
    /// in their order; each is answered before the next one is sent
    pub steps: Vec<Step>,
}

/// What was answered to one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// to lines
    Lines(Reply),
    /// to packets
    Packets(packets::Seen),
}

/// A prefix of keys that no other number has; all are as long as [`packets::RAW_PREFIX`].
fn prefix(number: u32) -> String {
    format!("h{:07}:", number % 10_000_000)
}

impl History {
    /// Plays all steps, as the case of this number, against one address, where a memcached of `version` is. Each answer may
    /// take `patience`.
    pub fn play(&self, number: u32, address: &Address, version: &str, patience: Duration) -> Result<Vec<Answer>> {
        let prefix = &prefix(number);
        let mut lines = script::Session::new(address, patience);
        lines.tokens = Tokens::of_case(number);
        let mut packets = packets::Session::new(address, prefix, patience);
        let mut answers = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let answer = match step {
                Step::Lines { on, lines: bytes } => {
                    let bytes = [self::filled(bytes, prefix), b"\r\n".repeat(self.padding)].concat();
                    let reply = lines.step(&script::Step::Ask(*on, bytes), version, self.cut);
                    reply.map(Answer::Lines)
                }
                Step::Packets(batch) => {
                    std::mem::swap(&mut lines.tokens, &mut packets.tokens);
                    let seen = packets.play(batch, self.cut);
                    std::mem::swap(&mut lines.tokens, &mut packets.tokens);
                    seen.map(Answer::Packets)
                }
            };
            let answer = answer.with_context(|| format!("step {}", number + 1))?;
            if let Answer::Lines(reply) = &answer {
                lines.tokens.learn_lines(&reply.bytes);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// The first difference between what memcached and what the sidecar answered, whose clocks are up to so many seconds
    /// apart.
    pub fn compare(&self, expected: &[Answer], seen: &[Answer], clocks_apart: u64) -> Result<(), String> {
        let mut pairs = CasPairs::with_clocks_apart(clocks_apart);
        for (number, ((step, expected), seen)) in self.steps.iter().zip(expected).zip(seen).enumerate() {
            let compared = match (step, expected, seen) {
                (_, Answer::Lines(expected), Answer::Lines(seen)) => pairs.compare_reply(expected, seen),
                (Step::Packets(batch), Answer::Packets(expected), Answer::Packets(seen)) => {
                    let complete = match batch.end {
                        End::Noop => Complete::Yes,
                        End::Finish => Complete::UnlessClosed,
                    };
                    packet_compare::compare_answers(&mut pairs, expected, seen, complete)
                }
                _ => Err("lines answered by packets".to_owned()),
            };
            compared.map_err(|error| format!("step {}, {error}", number + 1))?;
        }
        if expected.len() == seen.len() { Ok(()) } else { Err("steps without an answer".to_owned()) }
    }

    /// How many requests it has, about: lines of data that end like a command count too.
    pub fn requests(&self) -> usize {
        let count = |step: &Step| match step {
            Step::Lines { lines, .. } => memchr::memchr_iter(b'\n', lines).count(),
            Step::Packets(batch) => batch.pieces.len(),
        };
        self.steps.iter().map(count).sum()
    }

    /// The case in one line of ASCII, as JSON; [`super::corpus`] reads it.
    pub fn line(&self) -> Result<String> {
        let text = serde_json::to_string(self)?;
        let ascii = |letter: char| match letter {
            ' '..='~' => letter.to_string(),
            _ => format!("\\u{:04x}", u32::from(letter)),
        };
        Ok(text.chars().map(ascii).collect())
    }
}

/// With the prefix in its places.
fn filled(bytes: &[u8], prefix: &str) -> Vec<u8> {
    let parts: Vec<&[u8]> = bytes.split(|&byte| byte == b'@').collect();
    parts.join(prefix.as_bytes())
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memcached {}, sent {:?}", self.server.arguments().join(" "), self.cut)?;
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Lines { on, lines } => write!(f, "\n  {}. connection {on}: {:?}", number + 1, Excerpt(lines))?,
                Step::Packets(batch) => {
                    let Batch { connection, pieces, end } = batch;
                    write!(f, "\n  {}. connection {connection}: {pieces:?} then {end:?}", number + 1)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::{Packet, opcode};
    use crate::differential::packets::Piece;

    #[test]
    fn a_line_is_ascii_and_reads_as_what_it_was() -> Result<()> {
        let every: Vec<u8> = (0..=255).collect();
        let packet = Packet::store(opcode::SET, &every[..250], 7, 60, &every).cas(u64::MAX);
        let pieces = vec![packet.clone().into(), Piece::Token(packet, "@a".into(), 1), Piece::Raw(every.clone())];
        let history = History {
            cut: Cut::Random(7),
            padding: 3,
            server: Server::Small,
            steps: vec![
                Step::Lines { on: 1, lines: every },
                Step::Packets(Batch { connection: 0, pieces, end: End::Finish }),
            ],
        };
        let line = history.line()?;
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert_eq!(serde_json::from_str::<History>(&line)?, history);
        let short: History = serde_json::from_str(r#"{"steps":[{"on":0,"lines":"get @a\r\n"}]}"#)?;
        assert_eq!(short.steps, [Step::Lines { on: 0, lines: b"get @a\r\n".into() }]);
        Ok(())
    }

    #[test]
    fn prefixes_are_of_one_length() {
        assert_eq!(prefix(0).as_bytes(), packets::RAW_PREFIX);
        assert_eq!(prefix(u32::MAX).len(), packets::RAW_PREFIX.len());
    }
}
