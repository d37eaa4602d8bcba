//! The same bytes to memcached itself and to a memcached behind the sidecar: the answers must be the same, byte for
//! byte, and so must be what closes the connection. What cannot be equal is listed in `masks.rs`.
//!
//! Everything runs with memcached 1.6.38 and 1.6.45, the same version on both sides.

mod admin;
mod auth;
mod binary;
mod commands;
mod compare;
mod edges;
mod endpoints;
mod known;
mod masks;
mod meta;
mod random;
mod script;
mod self_check;
mod timed;
