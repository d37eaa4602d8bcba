//! memcached's protocols, without I/O: bytes in, typed requests and responses out, and back.
//!
//! Nothing here reads a clock, a socket or the environment, and nothing allocates per request.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`request`] | what a client asked: one enum of commands |
//! | [`parser`] | client bytes to [`Step`]s: framing, values, swallowed values, protocol by first byte |
//! | `command` | one command line to one request: the table of verbs |
//! | [`meta`], [`base64`] | the meta commands, and their binary keys |
//! | `fast` | the same for the two most frequent lines, in one pass |
//! | [`binary`] | the binary protocol: requests and answers |
//! | [`reply`] | the texts that memcached answers and the sidecar knows by itself |
//! | [`login`] | what a client says before it may use the cache |
//! | [`limits`] | the size rule of items and the other bounds, and what differs between releases |
//! | [`response`] | what memcached answered on a shared connection |
//! | [`dump`] | lines of `lru_crawler metadump` |
//! | [`encode`] | the commands that the sidecar sends to memcached |
//!
//! ```text
//! client bytes -> Parser::step -> Step::Request(Command) -> (translation) -> encode::* -> memcached
//! memcached    -> response::parse -> Response -> (translation) -> client
//! ```
//!
//! memcached rewrote its text parser between 1.6.38 and 1.6.45. The two answer malformed lines
//! differently (and some well-formed ones: `delete k 5`), so the parser is told which of the two
//! stands behind it by a [`Dialect`].

pub mod base64;
pub mod binary;
mod command;
pub mod dump;
pub mod encode;
mod fast;
pub mod limits;
pub mod login;
pub mod meta;
mod number;
pub mod parser;
pub mod reply;
pub mod request;
pub mod response;
mod words;

pub use limits::{Dialect, Limits};
pub use meta::{MetaRequest, MetaVerb};
pub use parser::{Parser, Step};
pub use request::{Command, Direction, Keys, Request, StoreMode, StreamKind};
pub use response::{Meta, MetaCode, Response};
