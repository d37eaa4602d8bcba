//! The answers that need no memcached: its texts, byte for byte.

use super::binary::{self, Status, Tag};

/// Unknown command, or a wrong number of words (legacy).
pub const ERROR: &[u8] = b"ERROR\r\n";
/// End of a retrieval.
pub const END: &[u8] = b"END\r\n";
/// A line that could not be read.
pub const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
/// The same out of a multi-get of the modern parser: with a stray blank line.
pub const BAD_FORMAT_BLANK_LINE: &[u8] = b"CLIENT_ERROR bad command line format\r\n\r\n";
/// What is left of that where `noreply` silences it.
pub const BLANK_LINE: &[u8] = b"\r\n";
/// The value does not end in a line end.
pub const BAD_DATA_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
/// The value does not fit into an item.
pub const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
/// `incr`, `decr`.
pub const INVALID_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
/// `touch`, `gat`, `flush_all`.
pub const INVALID_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
/// `delete k 5` (legacy).
pub const DELETE_USAGE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
/// `flush_all` where it is switched off.
pub const FLUSH_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR flush_all not allowed\r\n";
/// A flag of a meta command twice, or a byte that is no flag.
pub const DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
/// A letter that is no flag of a meta command.
pub const INVALID_FLAG: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
/// What some meta commands make of every error in their flags.
pub const BAD_FLAG: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";
/// `b` with a key that is no base64.
pub const KEY_NOT_DECODED: &[u8] = b"CLIENT_ERROR error decoding key\r\n";
/// A flag of a meta command whose number cannot be read.
pub const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
/// `J` of `ma`.
pub const INVALID_INITIAL: &[u8] = b"CLIENT_ERROR invalid numeric initial value\r\n";
/// `D` of `ma`.
pub const INVALID_META_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta value\r\n";
/// `M` with more or less than one letter (legacy).
pub const MODE_LENGTH: &[u8] = b"CLIENT_ERROR incorrect length for M token\r\n";
/// `M` of `ms` with another letter.
pub const INVALID_SET_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";
/// `M` of `ma` with another letter.
pub const INVALID_ARITHMETIC_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";
/// Too many words in a meta command: `mg`, and all of the modern parser.
pub const FLAGS_ARE_TOO_LONG: &[u8] = b"CLIENT_ERROR options flags are too long\r\n";
/// The same of the legacy parser in the others.
pub const FLAGS_TOO_LONG: &[u8] = b"CLIENT_ERROR options flags too long\r\n";
/// `O` with more than 31 bytes.
pub const OPAQUE_TOO_LONG: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";
/// The answer to `mn`.
pub const NO_OP: &[u8] = b"MN\r\n";
/// The storage commands, and a login.
pub const STORED: &[u8] = b"STORED\r\n";
/// Anything but a login before one.
pub const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";
/// A login that nobody could mean.
pub const TOKEN_TOO_LONG: &[u8] = b"CLIENT_ERROR auth token too long\r\n";
/// The value of a login does not end in a line end.
pub const BAD_TERMINATION: &[u8] = b"CLIENT_ERROR bad command line termination\r\n";
/// The value of a login is not two words.
pub const BAD_TOKEN_FORMAT: &[u8] = b"CLIENT_ERROR bad authentication token format\r\n";
/// No such user, or not with this password.
pub const AUTHENTICATION_FAILURE: &[u8] = b"CLIENT_ERROR authentication failure\r\n";
/// `watch` behind other commands.
pub const PIPELINED_WATCH: &[u8] = b"ERROR cannot pipeline other commands before watch\r\n";
/// `lru_crawler metadump` behind other commands.
pub const PIPELINED_METADUMP: &[u8] = b"ERROR cannot pipeline other commands before metadump\r\n";
/// `lru_crawler mgdump` behind other commands.
pub const PIPELINED_MGDUMP: &[u8] = b"ERROR cannot pipeline other commands before mgdump\r\n";

/// The last words on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Nothing.
    Silent,
    /// An error of the binary protocol.
    Binary {
        /// Of the request that ends the connection.
        tag: Tag,
        /// What is wrong with it.
        status: Status,
    },
}

impl Farewell {
    /// Appends the bytes to send before closing.
    pub fn write_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Silent => {}
            Self::Binary { tag, status } => binary::answer::error(out, tag, status),
        }
    }
}
