//! Items made from their number, so that whoever reads them knows what they must be.

use std::io::{self, Write};

use memcache::{FromMemcacheValue, MemcacheError, ToMemcacheValue};

/// The time to live of the items that have one: seconds, more than any test takes.
const LIFE: u32 = 7200;
/// How much shorter it may have become since it was written.
const AGE: i64 = 3600;

/// An item: what was or will be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// its key
    pub key: String,
    /// its value: 16 to 527 bytes, any bytes
    pub value: Vec<u8>,
    /// the client's flags, all 32 bits of them
    pub flags: u32,
    /// seconds to live; 0: without end
    pub ttl: u32,
}

/// Spreads a number over 64 bits (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Item {
    /// The item of a number; another generation has another value.
    pub fn new(prefix: &str, number: u64, generation: u64) -> Self {
        let seed = mix(mix(number) ^ generation);
        let length = 16 + (seed % 512) as usize;
        let value = (0..).flat_map(|word| mix(seed ^ word).to_le_bytes()).take(length).collect();
        // one in three lives without end
        let ttl = if number.is_multiple_of(3) { 0 } else { LIFE + (number % 1000) as u32 };
        Item { key: format!("{prefix}-{number}"), value, flags: (seed >> 32) as u32, ttl }
    }

    /// What is wrong with what came back; `left` is its time to live as memcached says it.
    pub fn difference(&self, received: &Received, left: Option<i64>) -> Option<String> {
        if received.value != self.value {
            return Some(format!("{} bytes of another value", received.value.len()));
        }
        if received.flags != self.flags {
            return Some(format!("flags {} instead of {}", received.flags, self.flags));
        }
        let written = i64::from(self.ttl);
        match left {
            None => Some("gone a moment later".to_owned()),
            Some(-1) if self.ttl == 0 => None,
            Some(left) if self.ttl > 0 && (written - AGE..=written + 1).contains(&left) => None,
            Some(left) => Some(format!("{left} s left of {written}")),
        }
    }
}

impl<W: Write> ToMemcacheValue<W> for &Item {
    fn get_flags(&self) -> u32 {
        self.flags
    }

    fn get_length(&self) -> usize {
        self.value.len()
    }

    fn write_to(&self, stream: &mut W) -> io::Result<()> {
        stream.write_all(&self.value)
    }
}

/// A value with its flags as the library hands it out.
#[derive(Debug)]
pub struct Received {
    value: Vec<u8>,
    flags: u32,
}

impl FromMemcacheValue for Received {
    fn from_memcache_value(value: Vec<u8>, flags: u32) -> Result<Self, MemcacheError> {
        Ok(Received { value, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(item: &Item) -> Received {
        Received { value: item.value.clone(), flags: item.flags }
    }

    #[test]
    fn a_number_always_makes_the_same_item_and_another_generation_another_value() {
        let item = Item::new("k", 7, 0);
        assert_eq!(item, Item::new("k", 7, 0));
        assert_eq!(item.key, Item::new("k", 7, 1).key);
        assert_ne!(item.value, Item::new("k", 7, 1).value);
    }

    #[test]
    fn each_difference_is_seen() {
        let (ends, stays) = (Item::new("k", 7, 0), Item::new("k", 9, 0));
        let life = i64::from(ends.ttl);
        assert_eq!(ends.difference(&received(&ends), Some(life)), None);
        assert_eq!(stays.difference(&received(&stays), Some(-1)), None);
        assert!(ends.difference(&received(&stays), Some(life)).is_some());
        assert!(ends.difference(&Received { flags: 1, ..received(&ends) }, Some(life)).is_some());
        for left in [None, Some(-1), Some(life + 2), Some(life - AGE - 1)] {
            assert!(ends.difference(&received(&ends), left).is_some(), "{left:?}");
        }
        for left in [None, Some(100)] {
            assert!(stays.difference(&received(&stays), left).is_some(), "{left:?}");
        }
    }
}
