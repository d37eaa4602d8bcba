//! The same bytes to memcached itself and to a memcached behind the sidecar: the answers must be the same, byte for
//! byte, and so must be what closes the connection.
//!
//! - [`endpoints`] are the two; both memcacheds are of one release and have the same arguments.
//! - [`script`] plays lines of the classic and of the meta protocol, [`packets`] those of the binary one; [`tokens`] holds
//!   what one answer tells and a later request says again.
//! - [`compare`] and [`packet_compare`] find the first difference; what cannot be equal is listed in [`masks`].
//! - [`history`] is a case with all protocols on several connections, which can be written down in a line and read again;
//!   [`generate`] makes random ones, [`fuzz`] runs them until a difference is found and makes that case small.

pub mod compare;
pub mod corpus;
pub mod endpoints;
pub mod fuzz;
pub mod generate;
pub mod history;
pub mod masks;
pub mod packet_compare;
pub mod packets;
pub mod script;
pub mod tokens;
