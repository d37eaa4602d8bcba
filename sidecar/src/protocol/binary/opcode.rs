//! What each opcode asks for.

use crate::protocol::request::{Direction, StoreMode};

/// Of a request, what its answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Byte 1.
    pub opcode: u8,
    /// Bytes 12 to 15.
    pub opaque: [u8; 4],
}

/// What is asked for. A quiet opcode asks for the same as its loud twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `get`, `getq`, `getk`, `getkq`.
    Get,
    /// `gat`, `gatq`, `gatk`, `gatkq`.
    GetAndTouch,
    /// `touch`.
    Touch,
    /// `set`, `add`, `replace`, `append`, `prepend` and their quiet twins.
    Store(StoreMode),
    /// `increment`, `decrement` and their quiet twins.
    Arithmetic(Direction),
    /// `delete`, `deleteq`.
    Delete,
    /// `flush`, `flushq`.
    Flush,
    /// `noop`.
    Noop,
    /// `version`.
    Version,
    /// `quit`, `quitq`.
    Quit,
    /// `stat`.
    Stat,
    /// `sasl list mechs`.
    SaslList,
    /// `sasl auth`.
    SaslAuth,
    /// `sasl step`.
    SaslStep,
}

impl Verb {
    /// The table of opcodes. `None`: memcached does not know it. (`verbosity`, 0x1b, is in its documents and in its
    /// header file, but it is one that it does not know.)
    #[must_use]
    #[inline]
    pub fn of(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0x00 | 0x09 | 0x0c | 0x0d => Self::Get,
            0x01 | 0x11 => Self::Store(StoreMode::Set),
            0x02 | 0x12 => Self::Store(StoreMode::Add),
            0x03 | 0x13 => Self::Store(StoreMode::Replace),
            0x04 | 0x14 => Self::Delete,
            0x05 | 0x15 => Self::Arithmetic(Direction::Increment),
            0x06 | 0x16 => Self::Arithmetic(Direction::Decrement),
            0x07 | 0x17 => Self::Quit,
            0x08 | 0x18 => Self::Flush,
            0x0a => Self::Noop,
            0x0b => Self::Version,
            0x0e | 0x19 => Self::Store(StoreMode::Append),
            0x0f | 0x1a => Self::Store(StoreMode::Prepend),
            0x10 => Self::Stat,
            0x1c => Self::Touch,
            0x1d | 0x1e | 0x23 | 0x24 => Self::GetAndTouch,
            0x20 => Self::SaslList,
            0x21 => Self::SaslAuth,
            0x22 => Self::SaslStep,
            _ => return None,
        })
    }
}

impl Tag {
    /// What is asked for.
    #[must_use]
    #[inline]
    pub fn verb(self) -> Option<Verb> {
        Verb::of(self.opcode)
    }

    /// Whether success (for reads: a miss) is not answered. Errors always are.
    #[must_use]
    #[inline]
    pub fn is_quiet(self) -> bool {
        matches!(self.opcode, 0x09 | 0x0d | 0x11..=0x1a | 0x1e | 0x24)
    }

    /// Whether the answer of a read carries the key.
    #[must_use]
    #[inline]
    pub fn returns_key(self) -> bool {
        matches!(self.opcode, 0x0c | 0x0d | 0x23 | 0x24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_opcode_asks_for_what_its_twin_does() {
        for (loud, quiet) in [
            (0x00, 0x09),
            (0x0c, 0x0d),
            (0x01, 0x11),
            (0x02, 0x12),
            (0x03, 0x13),
            (0x04, 0x14),
            (0x05, 0x15),
            (0x06, 0x16),
            (0x07, 0x17),
            (0x08, 0x18),
            (0x0e, 0x19),
            (0x0f, 0x1a),
            (0x1d, 0x1e),
            (0x23, 0x24),
        ] {
            let tag = |opcode| Tag { opcode, opaque: [0; 4] };
            assert!(Verb::of(loud).is_some() && Verb::of(loud) == Verb::of(quiet), "{loud:#x}");
            assert!(!tag(loud).is_quiet() && tag(quiet).is_quiet(), "{loud:#x}");
            assert_eq!(tag(loud).returns_key(), tag(quiet).returns_key(), "{loud:#x}");
        }
        let known = (0..=255).filter(|opcode| Verb::of(*opcode).is_some()).count();
        assert_eq!(known, 14 * 2 + 7);
    }
}
