//! The operator: makes a replicating pair of memcached out of every [`ReplicatedMemcached`](api::ReplicatedMemcached).
//!
//! What is to be there is computed by pure functions; a thin shell asks and tells the API server and the sidecars.
//!
//! | pure | |
//! | --- | --- |
//! | [`api`] | the custom resource: its types, its schema |
//! | [`mod@reference`] | the custom resource as files: CRD, field reference |
//! | [`names`], [`quantity`], [`sizes`] | names and labels of children, amounts, what a container needs |
//! | [`build`] | every object of a pair |
//! | [`pods`] | what is known of the two pods |
//! | [`wiring`], [`synced`], [`rolling`], [`update`], [`lost`], [`fencing`], [`live`], [`tls`], [`access`], [`discovery`] | decisions: who is whose peer, which pod is next, what may be written, where clients find the pair |
//! | [`status`] | conditions out of what was seen |
//!
//! | shell | |
//! | --- | --- |
//! | [`settings`], [`run`] | flags; from them to a running operator |
//! | [`controller`] | one reconcile in named steps |
//! | [`sidecars`] | the control port of the sidecars |
//! | [`check`] | what `helm test` runs |
//! | [`leader`], [`server`], [`metrics`] | one of several is active; probes and metrics |

pub mod access;
pub mod api;
pub mod build;
pub mod check;
pub mod controller;
pub mod discovery;
pub mod fencing;
pub mod leader;
pub mod live;
pub mod lost;
pub mod metrics;
pub mod names;
pub mod pods;
pub mod quantity;
pub mod reference;
pub mod rolling;
pub mod run;
pub mod server;
pub mod settings;
pub mod sidecars;
pub mod sizes;
pub mod status;
pub mod synced;
pub mod tls;
pub mod update;
pub mod wiring;
