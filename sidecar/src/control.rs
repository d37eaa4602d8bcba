//! The control port: what the operator asks of and tells a sidecar.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`protocol`] | PURE: the types of both sides |
//! | [`server`] | I/O: HTTP/1.1 with JSON over mutual TLS |
//!
//! Certificates are those of replication, signed by the pair's own CA. The other sidecar has one too, so a caller must also
//! bear the DNS name [`protocol::OPERATOR_NAME`]: a sidecar that was taken over must not be able to steer the other one.

pub mod protocol;
pub mod server;
