//! One reconcile, in named steps: observe, validate, certificates, build, apply, wire, roll, status.

mod apply;
mod caches;
mod certificates;
mod context;
mod events;
mod observe;
mod roll;
mod update_status;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;

use crate::api::ReplicatedMemcached;
use crate::api::v1alpha1::TlsMode;
use crate::build::{self, Input};
use crate::names::{RESYNC, UPDATE};
use crate::rolling::Step;
use crate::sizes::Sizes;
use crate::status::Problem;
use crate::synced;

pub use context::{Context, ReconcileError};

/// A pair in which nothing moves is looked at so often: sidecars say by themselves nothing.
const CALM: Duration = Duration::from_secs(15);
/// One in which something moves.
const BUSY: Duration = Duration::from_secs(1);
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
    let context = Arc::new(context.with_caches(caches));
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let results = controller.with_config(config).graceful_shutdown_on(stopped).run(reconcile, error_policy, context);
    log(results).await;
}

type Outcome<E> = Result<(ObjectRef<ReplicatedMemcached>, Action), E>;

async fn log<E: std::error::Error>(results: impl Stream<Item = Outcome<E>>) {
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        match result {
            Ok((object, _)) => tracing::debug!(%object, "reconciled"),
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
    let result = steps(&resource, &context).await;
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
    let kept = match certificates::ensure(context, &pair, &pods).await {
        Ok(kept) => Some(kept),
        Err(certificates::Failed::Problem(why)) => {
            problem.get_or_insert(why);
            None
        }
        Err(certificates::Failed::Error(error)) => return Err(error),
    };
    let talk = match &kept {
        Some(kept) => observe::statuses(&pair, &pods, &kept.sidecars).await,
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
        let own_secrets = resource.spec.replication.tls.mode == TlsMode::Managed;
        applied = apply::all(context, &pair, &children, &pods, own_secrets).await?;
        problem = problem.or(applied.problem.take());
    }

    // wire
    let mut told = false;
    if let Some(kept) = &kept {
        told = wire::tell(&pods, &talk, &kept.sidecars).await;
        wire::resync(context, &pair, resource, annotation(RESYNC), &pods, &talk, &kept.sidecars).await;
    }

    // roll
    let lost = roll::lost(context, &pair, &pods).await?;
    let mut step = None;
    if !resource.spec.paused && problem.is_none() {
        let sidecars = kept.as_ref().map(|kept| &kept.sidecars);
        step = roll::roll(context, &pair, &pods, &talk, sidecars).await?;
    }

    // status
    let calm = update_status::update(
        context,
        &pair,
        resource,
        &update_status::Outcome {
            pods: &pods,
            talk: &talk,
            problem: problem.as_ref(),
            held: applied.held,
            step: step.as_ref(),
            resync_requested: annotation(RESYNC),
        },
    )
    .await?;
    let busy = told || lost || !calm || step.as_ref().is_some_and(|step| *step != Step::Done);
    Ok(Action::requeue(match (busy, problem) {
        (_, Some(problem)) if problem.reason == apply::WAITING => BUSY,
        (_, Some(_)) => BROKEN,
        (true, None) => BUSY,
        (false, None) => CALM,
    }))
}
