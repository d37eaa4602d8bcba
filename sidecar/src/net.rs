//! I/O: sockets and the buffers between them and the pure code.

pub mod buffer;
pub mod http;
pub mod listen;
pub mod stream;
pub mod tls;
