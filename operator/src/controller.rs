//! One reconcile, in named steps: observe, validate, certificates, access, build, apply, wire, roll, status.

mod access;
mod apply;
mod caches;
mod certificates;
mod context;
mod events;
mod fence;
mod observe;
mod roll;
mod update_status;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;

use crate::api::ReplicatedMemcached;
use crate::api::v1alpha1::TlsMode;
use crate::build::{self, Input};
use crate::names::{RESYNC, UPDATE};
use crate::rolling::Step;
use crate::server::Health;
use crate::sizes::Sizes;
use crate::status::Problem;
use crate::synced;

pub use context::{Context, ReconcileError};

/// A pair in which nothing moves is looked at so often: sidecars say by themselves nothing.
const CALM: Duration = Duration::from_secs(15);
/// One in which something moves.
const BUSY: Duration = Duration::from_secs(1);
/// One in which something has been moving for longer than [`PATIENCE`]: it may do so for ever.
const SLOW: Duration = Duration::from_secs(5);
/// See [`SLOW`].
const PATIENCE: Duration = Duration::from_secs(180);
/// One that somebody has to mend first.
const BROKEN: Duration = Duration::from_secs(10);
/// The first pause after a failure.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Changes that come within this are one.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Looks after the resources of one namespace, or of all, until `stop` says so.
pub async fn run(context: Context, namespace: Option<String>, concurrency: u16, mut stop: watch::Receiver<bool>) {
    let caches::Watched { controller, caches } = caches::watch(&context.client, namespace.as_deref());
    let config = kube::runtime::controller::Config::default().concurrency(concurrency).debounce(DEBOUNCE);
    let health = Arc::clone(&context.health);
    let context = Arc::new(context.with_caches(caches));
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let results = controller.with_config(config).graceful_shutdown_on(stopped).run(reconcile, error_policy, context);
    log(results, health).await;
}

type Outcome<E> = Result<(ObjectRef<ReplicatedMemcached>, Action), controller::Error<ReconcileError, E>>;

async fn log<E: std::error::Error + 'static>(results: impl Stream<Item = Outcome<E>>, health: Arc<Health>) {
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        match result {
            Ok((object, _)) => tracing::debug!(%object, "reconciled"),
            // Its objects are being removed after it. An alert on it would never end.
            Err(controller::Error::ObjectNotFound(object)) => {
                health.metrics.forget(object.namespace.as_deref().unwrap_or_default(), &object.name);
            }
            // Those of a reconcile are logged where they are counted; here are those of watches, too.
            Err(error) => tracing::debug!("controller: {error}"),
        }
    }
}

/// One resource is bad, or the API server is: it is tried again, ever more rarely; others are not disturbed.
fn error_policy(resource: Arc<ReplicatedMemcached>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let metadata = &resource.metadata;
    let (namespace, name) =
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    tracing::warn!(namespace, name, "reconcile failed: {error}");
    context.health.metrics.failures.inc();
    let failures = context.with_memory(metadata.uid.as_deref().unwrap_or_default(), |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    Action::requeue((RETRY_MIN * 2_u32.saturating_pow(failures.saturating_sub(1).min(6))).min(RETRY_MAX))
}

async fn reconcile(resource: Arc<ReplicatedMemcached>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    if resource.metadata.deletion_timestamp.is_some() {
        // What it owns is removed by the garbage collector.
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    context.health.metrics.reconciles.inc();
    let result = match steps(&resource, &context).await {
        // The resource goes with it.
        Err(error) if apply::is_namespace_ending(&error) => Ok(Action::requeue(BROKEN)),
        result => result,
    };
    context.health.metrics.duration.observe(begun.elapsed().as_secs_f64());
    if result.is_ok() {
        context.with_memory(resource.metadata.uid.as_deref().unwrap_or_default(), |memory| memory.failures = 0);
    }
    result
}

async fn steps(resource: &ReplicatedMemcached, context: &Context) -> Result<Action, ReconcileError> {
    let pair = observe::Pair::new(resource)?;
    let annotation = |name: &str| resource.metadata.annotations.as_ref()?.get(name).map(String::as_str);
    let mut problem: Option<Problem> = None;
    let pods = observe::pods(context, &pair).await?;

    // validate
    let sizes = match Sizes::new(&resource.spec) {
        Ok(sizes) => Some(sizes),
        Err(error) => {
            problem = Some(Problem { reason: "InvalidSpec", message: error.to_string() });
            None
        }
    };

    // certificates come before everything that is said to a sidecar, and go on while the resource is paused or wrong
    let sidecars = match certificates::ensure(context, &pair, &pods).await {
        Ok(sidecars) => Some(sidecars),
        Err(certificates::Failed::Problem(why)) => {
            problem.get_or_insert(why);
            None
        }
        Err(certificates::Failed::Error(error)) => return Err(error),
    };
    problem = problem.or(access::ensure(context, &pair, &pods).await?);
    let talk = match &sidecars {
        Some(sidecars) => observe::statuses(&pair, &pods, sidecars).await,
        None => observe::Talk::default(),
    };

    // build and apply
    let mut applied = apply::Applied::default();
    if let Some(sizes) = sizes.filter(|_| !resource.spec.paused) {
        let in_sync = synced::check(talk.statuses()).is_ok();
        let alone = pods.views().iter().flatten().any(|pod| pod.unschedulable.is_some());
        let input = Input {
            name: pair.name,
            namespace: pair.namespace,
            uid: pair.uid,
            generation: resource.metadata.generation.unwrap_or_default(),
            update: annotation(UPDATE),
            spec: &resource.spec,
            sizes: &sizes,
            platform: &context.platform,
            max_unavailable: u8::from(in_sync || alone),
        };
        let children = build::children(&input);
        let blocked = problem.as_ref().is_some_and(Problem::keeps_pods_waiting);
        let own_secrets = resource.spec.replication.tls.mode == TlsMode::Managed;
        applied = apply::all(context, &pair, &children, &pods, (own_secrets, blocked)).await?;
        problem = problem.or(applied.problem.take());
    }

    // wire
    let mut told = false;
    let mut resync = resource.status.as_ref().and_then(|status| status.resync_requested.clone());
    if let Some(sidecars) = &sidecars {
        told = wire::tell(&pods, &talk, sidecars).await;
        wire::announce(context, &pair, &pods, &talk, sidecars).await?;
        fence::replaced(context, &pair, &pods, &talk, sidecars);
        resync = wire::resync(context, &pair, annotation(RESYNC), &pods, &talk, sidecars).await;
    }

    // roll
    let lost = roll::lost(context, &pair, &pods).await?;
    let mut step = None;
    if !resource.spec.paused && !problem.as_ref().is_some_and(Problem::keeps_pods_waiting) {
        step = roll::roll(context, &pair, &pods, &talk, sidecars.as_ref()).await?;
    }

    // status
    let calm = update_status::update(
        context,
        &pair,
        &update_status::Outcome {
            pods: &pods,
            talk: &talk,
            problem: problem.as_ref(),
            held: applied.held,
            step: step.as_ref(),
            resync_requested: resync.as_deref(),
        },
    )
    .await?;
    let waiting = problem.as_ref().is_some_and(|problem| problem.reason == apply::WAITING);
    let busy = told || lost || waiting || !calm || step.as_ref().is_some_and(|step| *step != Step::Done);
    let long = context.with_memory(pair.uid, |memory| {
        let since = memory.busy_since.filter(|_| busy);
        memory.busy_since = busy.then(|| since.unwrap_or_else(Instant::now));
        since.is_some_and(|since| since.elapsed() > PATIENCE)
    });
    Ok(Action::requeue(match problem.filter(Problem::keeps_pods_waiting) {
        Some(problem) if problem.reason != apply::WAITING => BROKEN,
        _ if busy && long => SLOW,
        _ if busy => BUSY,
        _ => CALM,
    }))
}
