//! Statistics: memcached's lines to packets.

use super::answer::{self, Status};
use super::opcode::Tag;

/// What a `stat` with this key asks memcached for, as memcached itself compares it: by the beginning of some names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats {
    /// The answer to this line, name by name.
    Lines(&'static [u8]),
    /// The answer to this line as one value named `detailed`.
    Detailed(&'static [u8]),
    /// `replication`, which is the sidecar's own.
    Replication,
}

impl Stats {
    /// `None`: there are no such statistics.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"" => Self::Lines(b"stats"),
            b"replication" => Self::Replication,
            key if key.starts_with(b"reset") => Self::Lines(b"stats reset"),
            key if key.starts_with(b"settings") => Self::Lines(b"stats settings"),
            key if key.starts_with(b"detail dump") => Self::Detailed(b"stats detail dump"),
            key if key.starts_with(b"detail on") => Self::Lines(b"stats detail on"),
            key if key.starts_with(b"detail off") => Self::Lines(b"stats detail off"),
            b"items" => Self::Lines(b"stats items"),
            b"slabs" => Self::Lines(b"stats slabs"),
            b"sizes" => Self::Lines(b"stats sizes"),
            _ => return None,
        })
    }
}

/// Whole lines of an answer to [`Stats::Lines`] to packets: one each, and for the last line the packet that ends them.
pub fn packets(out: &mut Vec<u8>, tag: Tag, lines: &[u8]) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.strip_prefix(b"STAT ") {
            Some(stat) => {
                let end = memchr::memchr(b' ', stat).unwrap_or(stat.len());
                let (name, value) = stat.split_at(end);
                answer::stat(out, tag, name, value.get(1..).unwrap_or_default());
            }
            None if matches!(line, b"END" | b"RESET" | b"OK") => answer::stat(out, tag, b"", b""),
            None => answer::error(out, tag, Status::NotFound),
        }
    }
}

/// The whole answer to [`Stats::Detailed`].
pub fn detailed(out: &mut Vec<u8>, tag: Tag, text: &[u8]) {
    if text.ends_with(b"END\r\n") {
        answer::stat(out, tag, b"detailed", text);
        answer::stat(out, tag, b"", b"");
    } else {
        answer::error(out, tag, Status::NotFound);
    }
}

/// In place of that where it is longer than the sidecar keeps.
pub fn too_long(out: &mut Vec<u8>, tag: Tag) {
    answer::error_text(out, tag, Status::OutOfMemory, "Out of memory generating stats");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { opcode: 0x10, opaque: *b"abcd" };

    #[test]
    fn lines_become_packets() {
        let mut out = Vec::new();
        packets(&mut out, TAG, b"STAT a 1 2\r\nSTAT b\r\nEND\r\n");
        let mut expected = Vec::new();
        answer::stat(&mut expected, TAG, b"a", b"1 2");
        answer::stat(&mut expected, TAG, b"b", b"");
        answer::stat(&mut expected, TAG, b"", b"");
        assert_eq!(out, expected);
    }

    #[test]
    fn names_are_compared_as_by_memcached() {
        assert_eq!(Stats::of(b"resetting"), Some(Stats::Lines(b"stats reset")));
        assert_eq!(Stats::of(b"detail only"), Some(Stats::Lines(b"stats detail on")));
        assert_eq!(Stats::of(b"itemsx"), None);
        assert_eq!(Stats::of(b"detail"), None);
        assert_eq!(Stats::of(b"conns"), None);
    }
}
