//! The way of a client's request to memcached and back, without I/O.

pub mod stripes;
