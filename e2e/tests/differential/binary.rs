//! The binary protocol: packets to both, answers packet by packet. CAS numbers are compared as a pattern, statistics as
//! `masks.rs` says, all else byte for byte.

mod sizes;
mod table;
