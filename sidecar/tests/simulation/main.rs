//! Deterministic simulation of two replicas: the sidecars' own code, byte-level models of two memcached, clients, a link,
//! and faults, all driven by one seed.
//!
//! `RMC_SIM_SEED=n cargo test --release --features simulation --test simulation one_seed -- --nocapture` replays one
//! history; `RMC_SIM_HISTORIES=n` sets how many are run.

mod client;
mod histories;
mod marks;
mod memcached;
mod meta_client;
mod meta_scenarios;
mod oracle;
mod plan;
mod replica;
mod rules;
mod scenarios;
mod steps;
mod world;
