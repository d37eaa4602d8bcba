//! `memcached-sidecar`: the program.
fn main() {}
