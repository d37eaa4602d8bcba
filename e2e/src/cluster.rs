//! Checks pairs in a real Kubernetes, the one of KUBECONFIG: a namespace per test, a pod with an application in it,
//! and what can go wrong with nodes and processes.
//!
//! - [`run_alone`] and [`run_beside`] give a test its [`Space`]: a namespace that is removed afterwards, and whose logs, events and resources
//!   are kept when the test fails.
//! - [`Pair`] is one `ReplicatedMemcached`; [`Application`] a client of it in the pod network.
//! - [`Faults`] breaks nodes and processes; [`Kind`] does it to the nodes of kind.
//!
//! Nothing here depends on the operator's code: only on the resource, on names and on labels that users rely on.

mod access;
mod application;
mod audit;
pub mod bench;
pub mod demo;
mod exec;
mod faults;
mod keep;
mod operator;
mod pair;
mod space;
mod wait;
mod watch;

pub use access::{Cluster, name_of};
pub use application::{Application, Running};
pub use audit::Audit;
pub use faults::{Faults, Kind};
pub use operator::{OPERATOR, Operator};
pub use pair::{Pair, PodFacts};
pub use space::{Space, run_alone, run_beside};
pub use wait::wait_until;
pub use watch::Watch;

use std::time::Duration;

/// Until what is asked for is there on a machine with little to spare.
pub const SOON: Duration = Duration::from_secs(60);
/// Until pods have started, stopped or moved.
pub const LATER: Duration = Duration::from_secs(180);
