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
