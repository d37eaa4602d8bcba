//! The log: what this replica has to tell the other one, in order, kept in memory until the other has applied it.
//!
//! Entries are numbered from 1. They lie encoded in segments, so that sending is copying; when all segments together
//! exceed the bound, the oldest are dropped and their entries can no longer be sent (their keys stay in the table).

use std::collections::VecDeque;

/// The greatest size of a segment in bytes but for a longer record, which has one of its own. A small log has eight.
const SEGMENT: usize = 256 << 10;
/// Empty segments kept for reuse.
const SPARE: usize = 8;

/// What the log takes beyond its bound, but for the last record.
pub(crate) const SLACK: usize = (SPARE + 2) * SEGMENT;

/// The least bound in bytes: so many of the largest items have to fit, or a resync would never get on.
#[must_use]
pub fn least(item_size_max: usize) -> usize {
    8 * item_size_max
}

#[derive(Debug, Default)]
struct Segment {
    first: u64,
    count: u64,
    bytes: Vec<u8>,
}

/// A bounded queue of encoded records.
#[derive(Debug)]
pub struct Log {
    segments: VecDeque<Segment>,
    spare: Vec<Vec<u8>>,
    /// Number of the next entry.
    next: u64,
    bytes: usize,
    limit: usize,
    segment: usize,
}

/// A place in the log from which to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the next entry to read.
    pub seq: u64,
    offset: usize,
}

impl Log {
    /// An empty log that holds at most `limit` bytes, or the last record if that is more.
    pub fn new(limit: usize) -> Self {
        Self {
            segments: VecDeque::new(),
            spare: Vec::new(),
            next: 1,
            bytes: 0,
            limit,
            segment: (limit / 8).min(SEGMENT),
        }
    }

    /// The number that the next entry will get.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number of the first entry that is still there, or of the next one where none is.
    pub fn base(&self) -> u64 {
        self.segments.front().map_or(self.next, |s| s.first)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries held.
    pub fn len(&self) -> u64 {
        self.next - self.base()
    }

    /// Whether no entry is held.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The bound in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A greater bound, where that is needed for memcached's largest items.
    pub fn raise_limit(&mut self, limit: usize) {
        self.limit = self.limit.max(limit);
        self.segment = (self.limit / 8).min(SEGMENT);
    }

    /// Appends one encoded record and returns its number. Where that exceeds the bound, the oldest entries go.
    pub fn append(&mut self, record: &[u8]) -> u64 {
        let seq = self.next;
        self.next += 1;
        let full = self.segments.back().is_none_or(|s| s.bytes.len() + record.len() > self.segment);
        if full {
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.reserve(record.len().max(self.segment));
            self.segments.push_back(Segment { first: seq, count: 0, bytes });
        }
        if let Some(last) = self.segments.back_mut() {
            last.bytes.extend_from_slice(record);
            last.count += 1;
        }
        self.bytes += record.len();
        while self.bytes > self.limit && self.segments.len() > 1 {
            self.drop_oldest();
        }
        seq
    }

    fn drop_oldest(&mut self) {
        if let Some(mut segment) = self.segments.pop_front() {
            self.bytes -= segment.bytes.len();
            if self.spare.len() < SPARE && segment.bytes.capacity() <= SEGMENT {
                segment.bytes.clear();
                self.spare.push(segment.bytes);
            }
        }
    }

    /// The other side has applied everything below `seq`: whole segments below it go.
    pub fn trim(&mut self, seq: u64) {
        while self.segments.front().is_some_and(|s| s.first + s.count <= seq) {
            self.drop_oldest();
        }
    }

    /// Forgets all entries; numbers go on.
    pub fn clear(&mut self) {
        while !self.segments.is_empty() {
            self.drop_oldest();
        }
    }

    /// A cursor at entry `seq`; `None` when that is dropped or not yet there (one past the end is).
    pub fn seek(&self, seq: u64, record_len: impl Fn(&[u8]) -> Option<usize>) -> Option<Cursor> {
        if seq == self.next {
            let offset = self.segments.back().map_or(0, |s| s.bytes.len());
            return Some(Cursor { seq, offset });
        }
        let segment = self.segments.iter().find(|s| (s.first..s.first + s.count).contains(&seq))?;
        let mut offset = 0;
        for _ in segment.first..seq {
            offset += record_len(segment.bytes.get(offset..)?)?;
        }
        Some(Cursor { seq, offset })
    }

    /// The bytes of a run of entries from `cursor` on, with their count, of about `max` bytes at most (one entry at
    /// least); the cursor moves behind them. `None` at the end. `Err` when the entries were dropped.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        max: usize,
        record_len: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Option<(&[u8], u64)>, Dropped> {
        if cursor.seq == self.next {
            return Ok(None);
        }
        if cursor.seq < self.base() {
            return Err(Dropped);
        }
        let index = self.segments.partition_point(|s| s.first + s.count <= cursor.seq);
        let segment = self.segments.get(index).ok_or(Dropped)?;
        let start = if segment.first == cursor.seq { 0 } else { cursor.offset };
        let rest = segment.bytes.get(start..).unwrap_or_default();
        let left = segment.first + segment.count - cursor.seq;
        let (len, count) = if rest.len() <= max {
            (rest.len(), left)
        } else {
            let (mut len, mut count) = (0, 0);
            while count < left && (len < max || count == 0) {
                len += record_len(rest.get(len..).unwrap_or_default()).ok_or(Dropped)?;
                count += 1;
            }
            (len, count)
        };
        *cursor = Cursor { seq: cursor.seq + count, offset: start + len };
        Ok(Some((rest.get(..len).unwrap_or_default(), count)))
    }
}

/// The entries wanted are no longer in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of the tests: a length byte, then so many bytes.
    fn record(len: u8) -> Vec<u8> {
        let mut bytes = vec![len];
        bytes.resize(usize::from(len) + 1, b'x');
        bytes
    }
    fn len(bytes: &[u8]) -> Option<usize> {
        bytes.first().map(|n| usize::from(*n) + 1)
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_in_pieces() {
        let mut log = Log::new(1 << 20);
        let mut all = Vec::new();
        for i in 0..10_000u32 {
            let bytes = record((i % 200) as u8);
            assert_eq!(log.append(&bytes), u64::from(i) + 1);
            all.extend(bytes);
        }
        assert!(log.segments.len() > 2);
        let mut cursor = log.seek(1, len).expect("at the start");
        let mut read = Vec::new();
        while let Some((bytes, count)) = log.read(&mut cursor, 1000, len).expect("nothing dropped") {
            assert!(count > 0);
            read.extend_from_slice(bytes);
        }
        assert!(read == all);
        assert_eq!(cursor.seq, log.next());
        let mut middle = log.seek(5000, len).expect("there");
        assert_eq!(log.read(&mut middle, 1, len), Ok(Some((&record((4999 % 200) as u8)[..], 1))));
    }

    #[test]
    fn the_bound_drops_the_oldest_and_says_so() {
        let mut log = Log::new(2 * SEGMENT);
        let mut cursor = log.seek(1, len).expect("at the start");
        while log.base() == 1 {
            log.append(&record(255));
        }
        assert!(log.bytes() <= 2 * SEGMENT);
        assert_eq!(log.read(&mut cursor, 1000, len), Err(Dropped));
        assert_eq!(log.seek(1, len), None);
        log.trim(log.next());
        assert!(log.is_empty());
        assert_eq!(log.bytes(), 0);
    }

    #[test]
    fn a_cursor_at_the_end_goes_on_into_a_new_segment() {
        let mut log = Log::new(1 << 20);
        log.append(&record(9));
        let mut cursor = log.seek(2, len).expect("the end");
        log.trim(2);
        assert_eq!(log.base(), 2);
        log.append(&record(3));
        assert_eq!(log.read(&mut cursor, 1000, len), Ok(Some((&record(3)[..], 1))));
    }
}
