//! Runs real memcached and real sidecars and looks at them from outside, as a client, a peer or an operator would.
//!
//! - [`memcached`] finds a memcached to test with; [`process`] starts it, the sidecar and whole pairs, and breaks
//!   them: signals, restarts, faults on the replication link.
//! - [`client`], [`admin`] and [`contents`] look: raw bytes of the memcached protocol, `/readyz` and `/metrics`,
//!   everything a memcached holds.
//! - [`differential`] asks memcached itself and a memcached behind the sidecar the same and compares the answers: tables
//!   of cases in the tests, random ones in [`differential::fuzz`].
//! - [`load`] makes load, [`mod@bench`] measures with it.
//! - [`demo`] shows a pair to a person.
//! - [`cluster`] does the same to pairs in Kubernetes, where [`application`] is the client.
//!
//! Nothing here depends on the sidecar's code: only on its flags, its ports and what it answers.

pub mod admin;
pub mod application;
pub mod bench;
pub mod binary;
pub mod client;
pub mod cluster;
pub mod contents;
pub mod demo;
pub mod differential;
pub mod latin1;
pub mod load;
pub mod memcached;
pub mod paths;
pub mod process;
pub mod wait;
