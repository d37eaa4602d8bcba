//! One of several operators is active: who holds the Lease.
//!
//! As in client-go, a holder is gone when its Lease did not change for its duration by *our* clock. The libraries for this
//! (kube-leader-election, kube-lease-manager) compare the holder's renewTime with our wall clock instead, so clocks that
//! disagree by some seconds make two operators active.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

/// Who has not renewed for so long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// It is renewed so often.
const RENEW: Duration = Duration::from_secs(5);
/// Who could not renew for so long stops being active, well before somebody else may begin.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Others look so often.
const RETRY: Duration = Duration::from_secs(2);

/// The Lease was lost: this process must not go on.
#[derive(Debug, thiserror::Error)]
#[error("the Lease could not be renewed")]
pub struct Lost;

/// What to do with a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// Make it.
    Create,
    /// Take or renew it.
    Take,
    /// Somebody else has it.
    Wait,
}

/// PURE. `seen`: when this content of the Lease was first seen; the clock of who wrote it is not trusted.
fn decide(lease: Option<&LeaseSpec>, identity: &str, seen: Duration) -> Move {
    let Some(lease) = lease else { return Move::Create };
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let duration = u64::try_from(lease.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
    if holder.is_empty() || holder == identity || seen > Duration::from_secs(duration) {
        Move::Take
    } else {
        Move::Wait
    }
}

/// The Lease by which one of several is active.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// The renewal that was last seen, and when.
    seen: Option<(Option<MicroTime>, Instant)>,
}

impl Election {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity, seen: None }
    }

    /// Waits until this process is the active one.
    pub async fn acquire(&mut self) {
        let mut told = false;
        loop {
            match self.attempt().await {
                Ok(true) => {
                    tracing::info!(lease = self.name, identity = self.identity, "active");
                    return;
                }
                Ok(false) if !told => {
                    tracing::info!(lease = self.name, "another operator is active; waiting");
                    told = true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!("the Lease cannot be had: {error}"),
            }
            sleep(RETRY).await;
        }
    }

    /// Renews for ever.
    ///
    /// # Errors
    /// It was lost.
    pub async fn hold(&mut self) -> Result<(), Lost> {
        let mut renewed = Instant::now();
        loop {
            sleep(if renewed.elapsed() < RENEW * 2 { RENEW } else { RETRY }).await;
            match tokio::time::timeout(RENEW, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return Err(Lost),
                Ok(Err(error)) => tracing::warn!("the Lease cannot be renewed: {error}"),
                Err(_) => tracing::warn!("the Lease cannot be renewed: no answer"),
            }
            if renewed.elapsed() > GIVE_UP {
                return Err(Lost);
            }
        }
    }

    /// Lets the next one begin at once.
    pub async fn release(&mut self) {
        if let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await
            && let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        {
            spec.holder_identity = None;
            let _ = self.api.replace(&self.name, &PostParams::default(), &lease).await;
        }
    }

    /// Whether it is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let live = self.api.get_opt(&self.name).await?;
        let spec = live.as_ref().and_then(|lease| lease.spec.as_ref());
        let renewal = spec.and_then(|spec| spec.renew_time.clone());
        let since = match &self.seen {
            Some((known, since)) if *known == renewal => *since,
            _ => Instant::now(),
        };
        self.seen = Some((renewal, since));
        let now = MicroTime(Timestamp::now());
        let result = match (decide(spec, &self.identity, since.elapsed()), live.clone()) {
            (Move::Wait, _) => return Ok(false),
            (Move::Take, Some(mut lease)) => {
                let spec = lease.spec.get_or_insert_default();
                if spec.holder_identity.as_ref() != Some(&self.identity) {
                    spec.holder_identity = Some(self.identity.clone());
                    spec.acquire_time = Some(now.clone());
                    spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
                }
                spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
                spec.renew_time = Some(now);
                // With the version that was read, so of two that take it at once one fails.
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
            (Move::Create | Move::Take, _) => {
                let spec = LeaseSpec {
                    holder_identity: Some(self.identity.clone()),
                    lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                    acquire_time: Some(now.clone()),
                    renew_time: Some(now),
                    ..LeaseSpec::default()
                };
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                self.api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
            }
        };
        match result {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A time that is surely over when somebody else may begin.
const _: () = assert!(GIVE_UP.as_secs() < DURATION.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_it_is_free_ours_or_forgotten() {
        let lease = |holder: &str| LeaseSpec {
            holder_identity: (!holder.is_empty()).then(|| holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let (fresh, old) = (Duration::from_secs(1), Duration::from_secs(16));
        assert_eq!(decide(None, "a", fresh), Move::Create);
        assert_eq!(decide(Some(&lease("")), "a", fresh), Move::Take);
        assert_eq!(decide(Some(&lease("a")), "a", fresh), Move::Take);
        assert_eq!(decide(Some(&lease("b")), "a", fresh), Move::Wait);
        assert_eq!(decide(Some(&lease("b")), "a", old), Move::Take);
    }
}
