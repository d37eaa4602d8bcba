//! The sidecar of a replicated pair of memcached.
//!
//! Everything that decides is pure: it eats bytes, events and the time, and fills buffers; the simulation drives the same
//! code. A thin shell of tokio moves the bytes.
//!
//! | pure | |
//! | --- | --- |
//! | [`protocol`] | memcached's protocols |
//! | [`clock`], [`guess`], [`hash`], [`shared`], [`rules`] | versions, sizes to come, stripes' hash, what all parties share |
//! | [`dataplane`] | clients' requests to memcached and back |
//! | [`replication`] | the log, the link, applying the peer's writes, resync, flush |
//! | [`state`] | what survives a restart (its `map` is I/O) |
//! | [`standstill`] | notices that this process did not run for a while |
//! | [`stats`] | what is counted |
//!
//! | shell | |
//! | --- | --- |
//! | [`auth`] | who may use the cache (`users` and `gate` are pure) |
//! | [`config`], [`logging`], [`time`], [`random`], [`reload`], [`tls`] | the environment of the process |
//! | [`net`], [`backend`], [`signal`] | sockets, memcached, waking threads |
//! | [`serve`] | the worker threads |
//! | [`peer`] | the link thread |
//! | [`life`] | starting, memcached's coming and going, readiness, the end |
//! | [`limits`] | what all bounds add up to |
//! | [`admin`], [`metrics`] | probes and metrics |
//! | [`control`] | what the operator asks and tells; its types are pure |

pub mod admin;
pub mod auth;
pub mod backend;
pub mod clock;
pub mod config;
pub mod control;
pub mod dataplane;
pub mod guess;
pub mod hash;
pub mod life;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod peer;
pub mod protocol;
pub mod random;
pub mod reload;
pub mod replication;
pub mod rules;
pub mod serve;
pub mod shared;
pub mod signal;
pub mod standstill;
pub mod state;
pub mod stats;
pub mod time;
pub mod tls;
