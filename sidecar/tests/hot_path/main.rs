//! What a get and a set cost on their way through the pure code: no allocation, and no more instructions than recorded.

#![allow(clippy::unwrap_used)]

mod allocations;
mod instructions;
mod rig;
