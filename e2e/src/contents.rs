//! All that a memcached holds, and how two of them differ.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::client::{Client, Excerpt, Value};
use crate::wait::wait_for;

/// Keys asked for at once; short enough for memcached to answer in one go.
const BATCH: usize = 100;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// what a client sees
    pub value: Value,
    /// when it expires, in seconds since 1970; None: never
    pub expires: Option<u64>,
}

/// All items by key.
pub type Contents = BTreeMap<Vec<u8>, Item>;

/// Whether a key that only one of two has is a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// it is
    Differs,
    /// it is not: evictions are each one's own business
    IsFine,
}

/// Reads everything by `client`, which must be connected to memcached itself.
pub fn read(client: &mut Client) -> Result<Contents> {
    let (odd, listed): (Vec<_>, Vec<_>) = keys(client)?.into_iter().partition(|(key, _)| is_odd(key));
    let mut contents = Contents::new();
    for (key, expires) in odd {
        if let Some(value) = odd_value(client, &key)? {
            contents.insert(key, Item { value, expires });
        }
    }
    for batch in listed.chunks(BATCH) {
        let mut command = b"gets".to_vec();
        for (key, _) in batch {
            command.push(b' ');
            command.extend_from_slice(key);
        }
        command.extend_from_slice(b"\r\n");
        client.send(&command)?;
        let expiry: BTreeMap<&[u8], Option<u64>> = batch.iter().map(|(key, at)| (key.as_slice(), *at)).collect();
        while let Some((key, value)) = value(client)? {
            let expires = *expiry.get(key.as_slice()).context("a key that was not asked for")?;
            contents.insert(key, Item { value, expires });
        }
    }
    Ok(contents)
}

/// Every key, and when it expires in seconds since 1970; None: never.
pub fn keys(client: &mut Client) -> Result<Vec<(Vec<u8>, Option<u64>)>> {
    let lines = wait_for("the crawler to be free", Duration::from_secs(10), || {
        client.lines_until("lru_crawler metadump hash", "END").ok()
    })?;
    lines.iter().filter(|line| *line != "OK").map(|line| dumped(line)).collect()
}

/// Key and expiry of one line of the dump.
fn dumped(line: &str) -> Result<(Vec<u8>, Option<u64>)> {
    let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let key = field("key").with_context(|| format!("no key in {line:?}"))?;
    let expires = field("exp").with_context(|| format!("no expiry in {line:?}"))?;
    let expires: i64 = expires.parse().with_context(|| format!("odd expiry in {line:?}"))?;
    // -1: never
    Ok((percent_decoded(key).with_context(|| format!("odd key in {line:?}"))?, u64::try_from(expires).ok()))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    Some(decoded)
}

/// The next `VALUE` of an answer to `gets`, or None at its `END`. Keys may hold any byte but white space.
fn value(client: &mut Client) -> Result<Option<(Vec<u8>, Value)>> {
    let line = client.read_until(|input| input.iter().position(|&byte| byte == b'\n').map(|at| at + 1))?;
    if line == b"END\r\n" {
        return Ok(None);
    }
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    ensure!(words.next() == Some(b"VALUE"), "no VALUE: {:?}", Excerpt(&line));
    let key = words.next().context("no key")?.to_vec();
    let mut number = || -> Option<u64> { std::str::from_utf8(words.next()?).ok()?.parse().ok() };
    let (flags, length, cas) = (number().context("flags")?, number().context("length")?, number().context("cas")?);
    let length = usize::try_from(length)?;
    let mut data = client.read_exact(length + 2)?;
    data.truncate(length);
    Ok(Some((key, Value { flags: u32::try_from(flags)?, cas, data })))
}

/// Whether no classic command can name a key.
fn is_odd(key: &[u8]) -> bool {
    key.iter().any(|byte| matches!(byte, 0 | b' ' | b'\n'))
}

/// The item of such a key. A meta command would take the win token of a stale item, so that only these are read by one.
fn odd_value(client: &mut Client, key: &[u8]) -> Result<Option<Value>> {
    client.send(format!("mg {} b f c s v\r\n", BASE64_STANDARD.encode(key)).as_bytes())?;
    let line = client.read_until(|input| input.iter().position(|&byte| byte == b'\n').map(|at| at + 1))?;
    let text = std::str::from_utf8(&line).context("odd answer")?.trim_ascii_end();
    if text == "EN" {
        return Ok(None);
    }
    let Some(words) = text.strip_prefix("VA ") else { bail!("no VA: {text:?}") };
    let flag = |letter: char| -> Result<u64> {
        let word = words.split(' ').skip(1).find_map(|word| word.strip_prefix(letter));
        Ok(word.with_context(|| format!("no {letter} in {text:?}"))?.parse()?)
    };
    let length = usize::try_from(flag('s')?)?;
    let mut data = client.read_exact(length + 2)?;
    data.truncate(length);
    Ok(Some(Value { flags: u32::try_from(flag('f')?)?, cas: flag('c')?, data }))
}

/// Nothing, or the number of differences and the first few.
pub fn compare(a: &Contents, b: &Contents, missing: Missing) -> Result<(), String> {
    let mut differences = Vec::new();
    for (key, item) in a {
        match b.get(key) {
            None if missing == Missing::IsFine => {}
            other if other.is_some_and(|other| same(item, other)) => {}
            other => differences.push((key, Some(item), other)),
        }
    }
    if missing == Missing::Differs {
        differences
            .extend(b.iter().filter(|(key, _)| !a.contains_key(*key)).map(|(key, item)| (key, None, Some(item))));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let show = |item: Option<&Item>| match item {
        None => "missing".to_owned(),
        Some(Item { value: Value { flags, cas, data }, expires }) => {
            format!("cas {cas} flags {flags} expires {expires:?} {:?}", Excerpt(data.get(..40).unwrap_or(data)))
        }
    };
    let mut text = format!("{} differences among {} and {} items", differences.len(), a.len(), b.len());
    for (key, left, right) in differences.iter().take(5) {
        text += &format!("; {}: {} / {}", key.escape_ascii(), show(*left), show(*right));
    }
    Err(text)
}

/// Two seconds may be between the ends: each side is within one second of what the client asked for (memcached lets an
/// item live up to a second less, the receiver rounds what is left up), and each memcached prints its ends as whole
/// seconds after a start that it has rounded as well.
fn same(a: &Item, b: &Item) -> bool {
    let expiry = match (a.expires, b.expires) {
        (Some(a), Some(b)) => a.abs_diff(b) <= 2,
        (a, b) => a == b,
    };
    a.value == b.value && expiry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::{Suite, find};
    use crate::process::{Memcached, TempDir};

    #[test]
    fn everything_is_read_and_each_difference_is_seen() {
        let dir = TempDir::new().unwrap();
        let start = |name: &str| {
            let socket = dir.path().join(name);
            Memcached::on_socket(&find(Suite::Any).unwrap(), &socket, &[], &dir.path().join("log")).unwrap()
        };
        let (a, b) = (start("a"), start("b"));
        let (mut to_a, mut to_b) = (a.client().unwrap(), b.client().unwrap());
        for number in 0..250 {
            for client in [&mut to_a, &mut to_b] {
                client.set(&format!("key:{number}%\u{1}"), "value").unwrap();
            }
        }
        // "a b" in base64
        assert_eq!(to_a.exchange("ms YSBi 5 b F7\r\nvalue").unwrap(), "HD");
        let odd = read(&mut to_a).unwrap().remove(b"a b".as_slice()).unwrap();
        assert_eq!((odd.value.flags, &*odd.value.data, odd.expires), (7, &b"value"[..], None));
        assert_eq!(to_a.exchange("md YSBi b").unwrap(), "HD");
        let (in_a, mut in_b) = (read(&mut to_a).unwrap(), read(&mut to_b).unwrap());
        assert_eq!(in_a.len(), 250);
        compare(&in_a, &in_b, Missing::Differs).unwrap();
        let key = b"key:7%\x01".as_slice();
        let item = in_b[key].clone();
        in_b.remove(key);
        assert!(compare(&in_a, &in_b, Missing::Differs).is_err() && compare(&in_b, &in_a, Missing::Differs).is_err());
        compare(&in_a, &in_b, Missing::IsFine).unwrap();
        compare(&in_b, &in_a, Missing::IsFine).unwrap();
        for change in [
            |item: &mut Item| item.value.cas += 1,
            |item: &mut Item| item.value.flags += 1,
            |item: &mut Item| item.value.data.push(b'x'),
            |item: &mut Item| item.expires = Some(5),
        ] {
            let mut changed = item.clone();
            change(&mut changed);
            in_b.insert(key.to_vec(), changed);
            assert!(compare(&in_a, &in_b, Missing::IsFine).is_err());
        }
    }
}
