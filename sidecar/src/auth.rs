//! Who may use the cache: users and passwords in the format of memcached's `-Y`.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`users`] | PURE: reads the file, compares |
//! | [`gate`] | PURE: the users as they are now, for all workers |
//! | [`mod@file`] | I/O: loads the file, and again when it changes |

pub mod file;
pub mod gate;
pub mod users;

pub use file::{AuthFile, AuthFileError};
pub use gate::Gate;
pub use users::{Users, UsersError};
