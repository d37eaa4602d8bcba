//! What all reconciles share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::Client;
use kube::runtime::events::Recorder;

use super::caches::Caches;
use crate::build::{Kind, Platform};
use crate::fencing::Roster;
use crate::server::Health;
use crate::sidecars::Sidecars;
use crate::status::Problem;
use crate::tls::issue::CertificateError;
use crate::tls::secrets::Kept;

/// Why a reconcile is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Of the API server.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// Of certificates.
    #[error("{0}")]
    Certificates(#[from] CertificateError),
    /// An object has no name, namespace or UID, which the API server gives to all.
    #[error("the resource has no {0}")]
    Incomplete(&'static str),
    /// An object is no JSON.
    #[error("an object is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A watch has ended.
    #[error("a watch has ended")]
    Watch,
}

impl ReconcileError {
    /// For `map_err`.
    pub(super) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }
}

/// What is remembered of a resource between two reconciles. All of it can be lost.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Reconciles that failed one after the other.
    pub(super) failures: u32,
    /// When the numbers of the status were last written.
    pub(super) numbers_written: Option<Instant>,
    /// When it was last looked whether there is anything that should not be, and for which generation.
    pub(super) tidied: Option<(i64, Instant)>,
    /// The Secrets, and when they were read.
    pub(super) kept: Option<(Kept, Instant)>,
    /// What speaks to its sidecars, for these CAs, and when it was made.
    pub(super) sidecars: Option<(String, Instant, Sidecars)>,
    /// Which Secrets decide who may use the cache, when they were read, and their versions then.
    pub(super) access: Option<(String, Instant, String)>,
    /// Since when something has been moving.
    pub(super) busy_since: Option<Instant>,
    /// The resync that was asked for last, and which replicas have begun it.
    pub(super) resync: Option<(String, [bool; 2])>,
    /// Objects of kinds that the cluster may not know.
    pub(super) optional: BTreeMap<Kind, Look>,
    /// What ran as each replica.
    pub(super) ran: Roster,
    /// The last step of a roll that was told in an Event.
    pub(super) step: Option<String>,
}

/// What came of applying an object that is not watched.
#[derive(Debug)]
pub(super) struct Look {
    /// The hash of what was wanted.
    pub(super) wanted: String,
    pub(super) at: Instant,
    pub(super) problem: Option<Problem>,
}

/// See the module.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator brings in.
    pub platform: Platform,
    /// Writes Events.
    pub recorder: Recorder,
    /// Counts.
    pub health: Arc<Health>,
    pub(super) caches: Option<Caches>,
    memories: Arc<Mutex<HashMap<String, Memory>>>,
}

impl Context {
    /// With nothing remembered.
    #[must_use]
    pub fn new(client: Client, platform: Platform, recorder: Recorder, health: Arc<Health>) -> Self {
        Self { client, platform, recorder, health, caches: None, memories: Arc::default() }
    }

    /// The same, for what these caches are of.
    pub(super) fn with_caches(self, caches: Caches) -> Self {
        Self { caches: Some(caches), memories: Arc::default(), ..self }
    }

    pub(super) fn caches(&self) -> Result<&Caches, ReconcileError> {
        self.caches.as_ref().ok_or(ReconcileError::Watch)
    }

    /// Reads or changes what is remembered of the resource with this UID.
    pub(super) fn with_memory<T>(&self, uid: &str, f: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        f(memories.entry(uid.to_owned()).or_default())
    }

    /// Forgets what is not in `uids`.
    pub(super) fn forget_others(&self, uids: &dyn Fn(&str) -> bool) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids(uid));
    }

    /// How many are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
