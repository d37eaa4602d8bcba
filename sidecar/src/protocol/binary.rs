//! The binary protocol of memcached 1.6 (its `proto_bin.c` and `doc/protocol-binary`), requests in and answers out.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`opcode`] | what each opcode asks for, and which are quiet |
//! | [`request`] | a client's bytes to one request: what is waited for, swallowed, refused, and what ends a connection |
//! | [`answer`] | the packets that answer |
//! | [`sasl`] | who is let in |
//! | [`stats`] | lines of statistics to packets |
//!
//! Multi-byte numbers are in network order. A request is a header of 24 bytes and a body: extras, key, value.
//!
//! | byte | request | answer |
//! | --- | --- | --- |
//! | 0 | 0x80 | 0x81 |
//! | 1 | opcode | the same |
//! | 2-3 | length of the key | the same |
//! | 4 | length of the extras | the same |
//! | 5 | data type, not looked at | 0 |
//! | 6-7 | not looked at | [`Status`] |
//! | 8-11 | length of the body | the same |
//! | 12-15 | opaque | as it came |
//! | 16-23 | CAS, 0 for none | CAS of the item, where there is one |

pub mod answer;
pub mod opcode;
pub mod request;
pub mod sasl;
pub mod stats;

pub use answer::Status;
pub use opcode::Tag;
pub use request::{Command, Create, Request};
pub use sasl::Sasl;

/// First byte of a request.
pub const MAGIC: u8 = 0x80;
/// Bytes of a header.
pub const HEADER: usize = 24;
