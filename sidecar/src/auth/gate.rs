//! PURE: the users as they are now, shared by all workers.

use std::sync::{Arc, Mutex, PoisonError};

use super::users::Users;

/// See the module. Only logins look here; who is in stays in, as with memcached.
#[derive(Debug)]
pub struct Gate {
    users: Mutex<Arc<Users>>,
}

impl Gate {
    /// Lets these in.
    #[must_use]
    pub fn new(users: Users) -> Self {
        Self { users: Mutex::new(Arc::new(users)) }
    }

    /// From now on these are let in, and nobody else.
    pub fn replace(&self, users: Users) {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
    }

    /// Whether this user has this password now; see [`Users::check`].
    #[must_use]
    pub fn check(&self, user: &[u8], password: &[u8]) -> bool {
        let users = Arc::clone(&self.users.lock().unwrap_or_else(PoisonError::into_inner));
        users.check(user, password)
    }

    /// The users now.
    #[must_use]
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
