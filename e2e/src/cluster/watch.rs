//! Looks at a pair's pods all the time while something happens to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::pair::{Pair, PodFacts};

/// Time between two looks. Kubernetes moves pods in seconds.
const INTERVAL: Duration = Duration::from_millis(100);

/// A look at both pods, over and over.
pub struct Watch {
    task: JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    looks: u64,
    none_ready: u64,
}

impl Watch {
    /// Begins to look.
    pub fn begin(pair: &Pair) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", pair.name));
        let (pods, shared) = (pair.pods.clone(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                // an apiserver that does not answer says nothing about the pods
                if let Ok(ready) = ready(&pods, &selector).await {
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.looks += 1;
                    seen.none_ready += u64::from(ready == 0);
                }
                sleep(INTERVAL).await;
            }
        });
        Watch { task, seen }
    }

    /// Ends it; an error if there was ever no ready replica.
    pub fn end(self) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(seen.looks > 0, "the pods were never seen");
        ensure!(seen.none_ready == 0, "no replica was ready in {} of {} looks", seen.none_ready, seen.looks);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Both pods by one list: what two reads saw may never have been.
async fn ready(pods: &Api<Pod>, selector: &ListParams) -> kube::Result<usize> {
    Ok(pods.list(selector).await?.iter().filter(|pod| PodFacts::of(pod).ready).count())
}
