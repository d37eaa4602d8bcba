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

/// A client that tells at once what was refused. By default kube asks again for minutes: an eviction would come true long
/// after it was decided on, when the other replica may be gone, and meanwhile nobody would look after the pair's budget.
fn client(mut config: Config) -> anyhow::Result<Client> {
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn work(settings: &Settings, health: Arc<Health>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let config = Config::infer().await.context("there is neither a service account nor a kubeconfig")?;
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config)?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::EvictParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Refuses everything, as a budget does.
    async fn refuse(listener: TcpListener, asked: Arc<AtomicUsize>) {
        let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","code":429}"#;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                match stream.read_buf(&mut request).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            asked.fetch_add(1, Ordering::Relaxed);
            let length = body.len();
            let head = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn a_refused_eviction_is_not_repeated() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(refuse(listener, Arc::clone(&asked)));
        let client = client(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let pods: Api<Pod> = Api::namespaced(client, "default");
        let refused = pods.evict("cache-0", &EvictParams::default()).await.unwrap_err();
        assert!(matches!(&refused, kube::Error::Api(status) if status.code == 429), "{refused}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
