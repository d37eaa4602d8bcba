//! Compares answers byte for byte, except where `masks.rs` says that they cannot be equal.

use std::collections::HashMap;

use super::masks;
use super::script::{Reply, Seen};
use crate::client::Excerpt;

/// The seconds by which times to live differ when one of two clocks that tick once a second has ticked meanwhile.
pub const TICK: u64 = 1;

/// Which cas number of ours stands for which one of memcached: equal numbers must be equal on both sides, different
/// ones different on both, over the whole case. Times to live may differ by what the clocks of the two are apart.
pub struct CasPairs {
    ours: HashMap<Vec<u8>, Vec<u8>>,
    reference: HashMap<Vec<u8>, Vec<u8>>,
    /// in seconds
    clocks_apart: u64,
}

impl Default for CasPairs {
    fn default() -> Self {
        CasPairs::with_clocks_apart(TICK)
    }
}

/// A piece of an answer.
#[derive(PartialEq, Eq)]
enum Token<'a> {
    /// must be equal
    Bytes(&'a [u8]),
    /// a cas number: must be equal as a pattern
    Cas(&'a [u8]),
    /// seconds that a clock may have moved on
    Seconds(u64),
    /// may differ
    Anything,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Bytes(bytes) => write!(f, "{:?}", Excerpt(bytes)),
            Token::Seconds(number) => write!(f, "{number} s"),
            Token::Cas(number) => write!(f, "cas {}", number.escape_ascii()),
            Token::Anything => write!(f, "(masked)"),
        }
    }
}

impl CasPairs {
    /// For clocks that are up to so many seconds apart.
    pub fn with_clocks_apart(seconds: u64) -> Self {
        CasPairs { ours: HashMap::new(), reference: HashMap::new(), clocks_apart: seconds }
    }

    /// Compares all replies; the error shows the first difference.
    pub fn compare(&mut self, expected: &Seen, seen: &Seen) -> Result<(), String> {
        for (number, (expected, seen)) in expected.0.iter().zip(&seen.0).enumerate() {
            self.compare_reply(expected, seen).map_err(|error| format!("step {}, {error}", number + 1))?;
        }
        Ok(())
    }

    /// Compares one reply; the error shows the first difference.
    pub fn compare_reply(&mut self, expected: &Reply, seen: &Reply) -> Result<(), String> {
        if self.same(&expected.bytes, &seen.bytes) && expected.closed == seen.closed {
            return Ok(());
        }
        let mark = |closed| if closed { " <closed>" } else { "" };
        Err(format!(
            "{}:\n  memcached: {:?}{}\n  sidecar:   {:?}{}",
            self.first_difference(&expected.bytes, &seen.bytes),
            Excerpt(&expected.bytes),
            mark(expected.closed),
            Excerpt(&seen.bytes),
            mark(seen.closed),
        ))
    }

    /// The same for numbers of packets, of which 0 is none.
    pub(super) fn same_numbers(&mut self, expected: u64, seen: u64) -> bool {
        if expected == 0 || seen == 0 {
            return expected == seen;
        }
        self.paired(expected.to_string().as_bytes(), seen.to_string().as_bytes())
    }

    fn same(&mut self, expected: &[u8], seen: &[u8]) -> bool {
        let (expected, seen) = (tokens(expected), tokens(seen));
        expected.len() == seen.len()
            && expected.iter().zip(&seen).all(|pair| match pair {
                (Token::Cas(expected), Token::Cas(seen)) => self.paired(expected, seen),
                (Token::Seconds(expected), Token::Seconds(seen)) => self.same_time(*expected, *seen),
                (expected, seen) => expected == seen,
            })
    }

    /// A negative time to live, which memcached prints as 32 bits without a sign, counts from the start of the process.
    fn same_time(&self, expected: u64, seen: u64) -> bool {
        let negative = |seconds| (1 << 31..1 << 32).contains(&seconds);
        expected.abs_diff(seen) <= self.clocks_apart || negative(expected) && negative(seen)
    }

    fn paired(&mut self, expected: &[u8], seen: &[u8]) -> bool {
        let ours = self.ours.entry(expected.to_vec()).or_insert_with(|| seen.to_vec());
        let reference = self.reference.entry(seen.to_vec()).or_insert_with(|| expected.to_vec());
        ours == seen && reference == expected
    }

    /// Where two answers part, cas numbers and masks left alone.
    fn first_difference(&self, expected: &[u8], seen: &[u8]) -> String {
        let (expected, seen) = (tokens(expected), tokens(seen));
        let unlike = |(a, b): (&Token<'_>, &Token<'_>)| match (a, b) {
            (Token::Cas(_), Token::Cas(_)) => false,
            (Token::Seconds(a), Token::Seconds(b)) => !self.same_time(*a, *b),
            (a, b) => a != b,
        };
        match expected.iter().zip(&seen).position(unlike) {
            Some(at) => format!("{:?} became {:?}", expected.get(at), seen.get(at)),
            None if expected.len() == seen.len() => "in the pattern of cas numbers".to_owned(),
            None => {
                let common = expected.len().min(seen.len());
                format!("{:?} became {:?}", expected.get(common), seen.get(common))
            }
        }
    }
}

/// Cuts an answer into tokens. What does not look like an answer is compared as it is.
fn tokens(answer: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut dumped: Vec<Vec<Token<'_>>> = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, tail) = rest.split_at(end);
        rest = tail;
        if let Some((head, cas, length)) = value_line(line) {
            tokens.push(Token::Bytes(head));
            tokens.extend(cas.map(Token::Cas));
            let (data, tail) = rest.split_at(length.min(rest.len()));
            tokens.push(Token::Bytes(data));
            rest = tail;
        } else if let Some(length) = meta_line(line) {
            meta_words(line, &mut tokens);
            let (data, tail) = rest.split_at(length.min(rest.len()));
            tokens.push(Token::Bytes(data));
            rest = tail;
        } else if line.starts_with(b"ME ") {
            // The key stands first and may look like a field.
            let at = line.iter().skip(3).position(|&byte| byte == b' ').map_or(line.len(), |at| at + 3);
            let (key, fields) = line.split_at(at);
            tokens.push(Token::Bytes(key));
            tokens.extend(dump_line(fields));
        } else if let Some(name) = stat_name(line) {
            match masks::stat(name) {
                masks::Compared::Whole => tokens.push(Token::Bytes(line)),
                masks::Compared::Name => tokens.extend([Token::Bytes(name), Token::Anything]),
                masks::Compared::Nothing => {}
            }
        } else if line.starts_with(b"key=") {
            dumped.push(dump_line(line));
        } else if line.starts_with(b"mg ") {
            dumped.push(vec![Token::Bytes(line)]);
        } else {
            tokens.push(Token::Bytes(line));
        }
    }
    // The order of a dump is that of a hash table or of several lists.
    dumped.sort_by(|a, b| first(a).cmp(first(b)));
    tokens.extend(dumped.into_iter().flatten());
    tokens
}

fn first<'a>(tokens: &[Token<'a>]) -> &'a [u8] {
    match tokens.first() {
        Some(Token::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

/// A `VALUE` line: what is before the cas number, the number, and the length of what follows the line.
type ValueLine<'a> = (&'a [u8], Option<&'a [u8]>, usize);

/// Reads `VALUE key flags length [cas]`.
fn value_line(line: &[u8]) -> Option<ValueLine<'_>> {
    let text = line.strip_prefix(b"VALUE ")?.strip_suffix(b"\r\n")?;
    let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    let (length, cas) = match words.as_slice() {
        [_, _, length] => (length, None),
        [_, _, length, cas] if cas.iter().all(u8::is_ascii_digit) && !cas.is_empty() => (length, Some(*cas)),
        _ => return None,
    };
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let head = line.get(..line.len() - cas.map_or(0, |cas| cas.len() + 2))?;
    Some((head, cas, length.checked_add(2)?))
}

/// Whether it is an answer to a meta command, and the length of what follows the line.
fn meta_line(line: &[u8]) -> Option<usize> {
    let text = line.strip_suffix(b"\r\n")?;
    let mut words = text.split(|&byte| byte == b' ');
    match words.next()? {
        b"VA" => std::str::from_utf8(words.next()?).ok()?.parse::<usize>().ok()?.checked_add(2),
        b"HD" | b"EN" | b"NF" | b"NS" | b"EX" => Some(0),
        _ => None,
    }
}

/// The words of an answer to a meta command: cas numbers and times are no plain bytes.
fn meta_words<'a>(line: &'a [u8], tokens: &mut Vec<Token<'a>>) {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    for word in line.split(|&byte| byte == b' ') {
        let bare = word.strip_suffix(b"\r\n").unwrap_or(word);
        let token = match bare {
            [b'c', cas @ ..] if number(cas).is_some() => Some(Token::Cas(cas)),
            [b't' | b'l', seconds @ ..] => number(seconds).map(Token::Seconds),
            _ => None,
        };
        match token {
            Some(token) => {
                let end = word.get(bare.len()..).unwrap_or_default();
                tokens.extend([Token::Bytes(bare.get(..1).unwrap_or_default()), token, Token::Bytes(end)]);
            }
            None => tokens.push(Token::Bytes(word)),
        }
    }
}

fn stat_name(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"STAT ")?.split(|&byte| byte == b' ').next()
}

/// `key=... exp=... la=... cas=...` of a metadump.
fn dump_line(line: &[u8]) -> Vec<Token<'_>> {
    let word = |word| match <[u8]>::splitn(word, 2, |&byte| byte == b'=').collect::<Vec<_>>().as_slice() {
        [b"cas", number] => vec![Token::Cas(number)],
        [name, value] if masks::dump_field(name, value) => {
            vec![Token::Bytes(name), Token::Anything]
        }
        _ => vec![Token::Bytes(word)],
    };
    line.split(|&byte| byte == b' ').flat_map(word).collect()
}

#[test]
fn cas_numbers_are_compared_by_pattern_and_all_else_by_bytes() {
    let seen = |text: &str| Seen(vec![Reply { bytes: text.as_bytes().to_vec(), closed: false }]);
    let equal = |a: &str, b: &str| CasPairs::default().compare(&seen(a), &seen(b)).is_ok();
    let value = |key: &str, cas: &str| format!("VALUE {key} 0 1 {cas}\r\nx\r\n");
    assert!(equal(&value("k", "1"), &value("k", "77")));
    assert!(equal(&(value("k", "1") + &value("k", "1")), &(value("k", "7") + &value("k", "7"))));
    assert!(!equal(&(value("k", "1") + &value("k", "1")), &(value("k", "7") + &value("k", "8"))));
    assert!(!equal(&(value("k", "1") + &value("k", "2")), &(value("k", "7") + &value("k", "7"))));
    assert!(!equal(&value("k", "1"), &value("j", "1")));
    assert!(!equal("VALUE k 0 1\r\nx\r\nEND\r\n", "VALUE k 0 1 5\r\nx\r\nEND\r\n"));
    assert!(!equal("STORED\r\n", "STORED\n"));
    assert!(equal("HD c5 t-1\r\nHD c5\r\n", "HD c9 t-1\r\nHD c9\r\n"));
    assert!(!equal("HD c5\r\nHD c5\r\n", "HD c9\r\nHD c8\r\n"));
    assert!(!equal("HD t-1\r\n", "HD t5\r\n"));
    assert!(equal("HD t4\r\n", "HD t5\r\n") && !equal("HD t3\r\n", "HD t5\r\n"));
    assert!(equal("HD t4294967216\r\n", "HD t4294967218\r\n") && !equal("HD t4294967216\r\n", "HD t4\r\n"));
    assert!(CasPairs::with_clocks_apart(2).compare(&seen("HD t3\r\n"), &seen("HD t5\r\n")).is_ok());
    assert!(!equal("HD c5 W\r\n", "HD c5\r\n") && !equal("HD\r\n", "EN\r\n") && !equal("HD Oc5\r\n", "HD Oc6\r\n"));
    assert!(!equal("VA 2 c5\r\nc5\r\n", "VA 2 c5\r\nc6\r\n"));
    assert!(equal("ME k exp=-1 la=0 cas=5 size=66\r\n", "ME k exp=-1 la=1 cas=7 size=66\r\n"));
    assert!(!equal("ME k exp=-1 la=0 cas=5 size=66\r\n", "ME k exp=-1 la=1 cas=7 size=67\r\n"));
    // Data that looks like an answer is data.
    assert!(!equal("VALUE k 0 17\r\nVALUE k 0 1 5\r\nxx\r\n", "VALUE k 0 17\r\nVALUE k 0 1 6\r\nxx\r\n"));
    assert!(equal("STAT pid 5\r\n", "STAT pid 6\r\n"));
    assert!(!equal("STAT pid 5\r\n", "STAT pif 5\r\n"));
    assert!(!equal("STAT version 1.6.38\r\n", "STAT version 1.6.39\r\n"));
    let closed = Seen(vec![Reply { bytes: Vec::new(), closed: true }]);
    assert!(CasPairs::default().compare(&seen(""), &closed).is_err());
}
