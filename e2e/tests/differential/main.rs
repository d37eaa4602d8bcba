//! The same bytes to memcached itself and to a memcached behind the sidecar: the answers must be the same, byte for
//! byte, and so must be what closes the connection. What cannot be equal is listed in `e2e::differential::masks`.
//!
//! Everything runs with memcached 1.6.38 and 1.6.45, the same version on both sides.

mod admin;
mod auth;
mod binary;
mod commands;
mod corpus;
mod edges;
mod known;
mod meta;
mod numbers;
mod random;
mod self_check;
mod timed;

use e2e::differential::{compare, endpoints, packet_compare, packets, script};
