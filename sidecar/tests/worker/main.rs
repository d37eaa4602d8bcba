//! What a worker sends to memcached for its clients, and what it makes of the answers.

mod answers;
mod changes;
mod rig;
mod turns;
