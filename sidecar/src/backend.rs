//! I/O: connections to the memcached behind, and what has to be known of it.

pub mod connect;
pub mod facts;
pub mod scan;
