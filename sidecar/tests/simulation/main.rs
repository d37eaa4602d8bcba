//! Deterministic simulation of two replicas.

#![allow(dead_code, reason = "the simulation itself comes later")]

mod memcached;
