//! What a client learns from answers and sends again: cas numbers. Also the other things that cannot stand in a script.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A cas number that nobody has, and that is later than all.
const UNKNOWN: &[u8] = b"9999999999999999999";
/// The first number of a client's own. Greater than any that memcached comes to by counting.
const OWN: u64 = 5_000_000_000_000;
/// So many of its own each case has. No two cases share one: memcached keeps that of an `ms` whose value does not end as
/// announced, and the next item that is stored by this connection, or by a later one with its file descriptor, gets it.
const OWN_EACH: u64 = 1_000_000;

/// Cas numbers that a client was told, by key.
#[derive(Debug, Default)]
pub struct Tokens {
    /// the newest last
    seen: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// numbers of its own that it has given out
    own: u64,
}

impl Tokens {
    /// For the case of this number.
    pub(super) fn of_case(number: u32) -> Self {
        Tokens { seen: BTreeMap::new(), own: u64::from(number) * OWN_EACH }
    }

    /// Remembers the cas number of a key.
    pub fn learn(&mut self, key: &[u8], cas: &[u8]) {
        let tokens = self.seen.entry(key.to_vec()).or_default();
        if tokens.last().is_none_or(|last| last != cas) {
            tokens.push(cas.to_vec());
        }
    }

    /// Remembers all cas numbers in answers of the classic and of the meta protocol.
    pub fn learn_lines(&mut self, reply: &[u8]) {
        for line in reply.split(|&byte| byte == b'\n') {
            let words: Vec<&[u8]> = line.trim_ascii_end().split(|&byte| byte == b' ').collect();
            // A meta answer tells both when it was asked for the key too.
            let flag = |flag: u8| words.iter().skip(1).find_map(|word| word.strip_prefix(&[flag]));
            let found = match words.as_slice() {
                [b"VALUE", key, _, _, cas] => Some((*key, *cas)),
                [b"HD" | b"VA", ..] => flag(b'k').zip(flag(b'c')),
                _ => None,
            };
            if let Some((key, cas)) = found {
                self.learn(key, cas);
            }
        }
    }

    /// The newest cas number seen for a key, or the one that came so many before.
    pub fn get(&self, key: &[u8], age: usize) -> Option<&[u8]> {
        self.seen.get(key)?.iter().rev().nth(age).map(Vec::as_slice)
    }

    /// Replaces `<cas:KEY>` by the newest cas number seen for the key, `<old:KEY>` by the one before; without any it is
    /// a number that nobody has. `<own>` becomes a number that was not there before, `<b64:KEY>` the key in base64.
    pub fn fill_in(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'<') {
            let (before, tail) = rest.split_at(at);
            filled.extend_from_slice(before);
            let end = tail.iter().position(|&byte| byte == b'>').unwrap_or(0);
            match self.place(tail.get(1..end).unwrap_or_default()) {
                Some(text) => {
                    filled.extend_from_slice(&text);
                    rest = tail.get(end + 1..).unwrap_or_default();
                }
                None => {
                    filled.push(b'<');
                    rest = tail.get(1..).unwrap_or_default();
                }
            }
        }
        filled.extend_from_slice(rest);
        filled
    }

    /// What stands for the inside of `<...>`.
    fn place(&mut self, inside: &[u8]) -> Option<Vec<u8>> {
        if inside == b"own" {
            self.own += 1;
            return Some((OWN + self.own).to_string().into_bytes());
        }
        let age = match inside.get(..4)? {
            b"b64:" => return Some(BASE64_STANDARD.encode(inside.get(4..)?).into_bytes()),
            b"cas:" => 0,
            b"old:" => 1,
            _ => return None,
        };
        Some(self.get(inside.get(4..)?, age).unwrap_or(UNKNOWN).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_filled_in() {
        let mut tokens = Tokens::default();
        tokens.learn_lines(b"VALUE k 0 1 5\r\nx\r\nHD c5 kk\r\nVA 1 kk c77\r\n");
        tokens.learn(b"j", b"9");
        let filled = tokens.fill_in(b"<cas:k> <old:k> <old:j> <b64:k> <x> < <cas:k <own> <own>");
        let expected = "77 5 9999999999999999999 aw== <x> < 9999999999999999999 5000000000001";
        assert_eq!(String::from_utf8(filled).as_deref(), Ok(expected));
        assert_eq!(Tokens::of_case(7).fill_in(b"<own>"), b"5000007000001");
    }
}
