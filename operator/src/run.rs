//! From the flags to a running operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::build::Platform;
use crate::controller::{self, Context};
use crate::leader::Election;
use crate::names::MANAGED_BY;
use crate::server::{self, Health};
use crate::settings::Settings;

/// When the program ends, reconciles that are under way have so long.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// Runs until it is told to stop, or has lost its Lease.
///
/// # Errors
/// It cannot go on.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let health = Arc::new(Health::default());
    let listener = TcpListener::bind(settings.listen.listening()?.as_slice()).await;
    let listener = listener.with_context(|| format!("cannot listen on --listen {}", settings.listen))?;
    tokio::spawn(server::serve(listener, Arc::clone(&health)));

    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    };
    work(&settings, health, stop).await
}

async fn work(settings: &Settings, health: Arc<Health>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let config = Config::infer().await.context("there is neither a service account nor a kubeconfig")?;
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)?;
    let version = client.apiserver_version().await.context("the API server cannot be reached")?;
    tracing::info!(server = version.git_version, namespace, release = env!("CARGO_PKG_VERSION"), "connected");
    health.ready.store(true, Ordering::Release);

    let identity = settings.identity.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}-{:08x}", host.trim(), std::process::id())
    });
    let mut election = Election::new(client.clone(), &namespace, settings.lease.clone(), identity.clone());
    if !settings.no_leader_election {
        tokio::select! {
            () = election.acquire() => {}
            () = &mut stop => return Ok(()),
        }
    }
    health.metrics.active.set(1);

    let platform = Platform {
        sidecar_image: settings.sidecar_image.clone(),
        registry: settings.image_registry.clone().filter(|registry| !registry.is_empty()),
        operator_namespace: (in_cluster || settings.namespace.is_some()).then(|| namespace.clone()),
    };
    let recorder =
        Recorder::new(client.clone(), Reporter { controller: MANAGED_BY.to_owned(), instance: Some(identity) });
    let context = Context::new(client, platform, recorder, Arc::clone(&health));
    let (end, ended) = watch::channel(false);
    let mut controllers = JoinSet::new();
    let namespaces: Vec<_> =
        settings.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().map(Some).collect();
    for namespace in if namespaces.is_empty() { vec![None] } else { namespaces } {
        tracing::info!(namespace = namespace.as_deref().unwrap_or("all"), "watching");
        controllers.spawn(controller::run(context.clone(), namespace, settings.concurrency, ended.clone()));
    }
    tokio::select! {
        lost = election.hold(), if !settings.no_leader_election => {
            return lost.context("another operator may be active now");
        }
        _ = controllers.join_next() => bail!("a controller has ended"),
        () = &mut stop => {}
    }
    // What was begun is finished, then somebody else may begin.
    let _ = end.send(true);
    if timeout(FINISH_MAX, controllers.join_all()).await.is_err() {
        tracing::warn!("a reconcile was under way for too long");
    }
    if !settings.no_leader_election {
        election.release().await;
    }
    Ok(())
}
