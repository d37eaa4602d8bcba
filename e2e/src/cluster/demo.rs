//! `make demo`: a pair in Kubernetes, shown step by step. It stays there to play with.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::access::apply;
use super::{Application, Cluster, LATER, OPERATOR, Operator, Pair, wait_until};

/// Where the demonstration takes place.
const NAMESPACE: &str = "demo";
/// The release's resource, as the demonstration prints and applies it.
const RESOURCE: &str = "\
apiVersion: replicated-memcached.io/v1alpha1
kind: ReplicatedMemcached
metadata:
  name: cache
  namespace: demo
";
/// Items that must survive.
const ITEMS: u64 = 20_000;

/// Prints what is about to happen, does it, and prints how long that took.
async fn step<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    println!("== {what}");
    let start = Instant::now();
    let value = work.await?;
    println!("   {:.1} s", start.elapsed().as_secs_f64());
    Ok(value)
}

/// Runs the demonstration; an error if anything is not as promised.
pub async fn run() -> Result<()> {
    let start = Instant::now();
    let cluster = Cluster::connect().await?;
    println!("   the cluster of {}", cluster.kubeconfig.display());
    step("helm install: the operator", Operator::install(&cluster, OPERATOR, &[])).await?;
    let (pair, application) = step("kubectl apply: a pair", begin(&cluster)).await?;
    step("set on one replica, get on the other", both_ways(&pair, &application)).await?;
    step(&format!("{ITEMS} items written to one, each compared on the other"), async {
        application.fill(&pair.replica(0), "item", ITEMS).await?;
        application.check(&pair.replica(1), "item", ITEMS).await
    })
    .await?;
    step("kubectl delete pod cache-0, while an application uses the pair", lose(&pair, &application)).await?;
    println!("\nAll as promised in {:.0} s. The pair stays: kubectl -n {NAMESPACE} get rmc", elapsed(start));
    println!("Inside the cluster it is at {}; make demo-down removes everything.", pair.server());
    Ok(())
}

fn elapsed(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

async fn begin(cluster: &Cluster) -> Result<(Pair, Application)> {
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    apply(&namespaces, &object).await?;
    for line in RESOURCE.lines() {
        println!("   | {line}");
    }
    cluster.kubectl_apply(RESOURCE).await?;
    let pair = Pair::named(cluster, NAMESPACE, "cache");
    let application = Application::start_in(cluster, NAMESPACE, "application", "application").await?;
    pair.settle().await?;
    application.wait_reaches(&pair).await?;
    for index in 0..2 {
        let facts = pair.facts(index).await?;
        println!("   {} on {}", pair.pod(index), facts.node.unwrap_or_default());
    }
    Ok((pair, application))
}

async fn both_ways(pair: &Pair, application: &Application) -> Result<()> {
    for (from, to, value) in [(0, 1, "hello"), (1, 0, "hello again")] {
        application.set(&pair.replica(from), "foo", value).await?;
        println!("   {}> set foo   {value}", pair.pod(from));
        application.expect(&pair.replica(to), "foo", Some(value)).await?;
        println!("   {}> get foo   {value}", pair.pod(to));
    }
    Ok(())
}

/// Loses a pod under load; all must be back when the new one is ready, and the application must not have noticed.
async fn lose(pair: &Pair, application: &Application) -> Result<()> {
    let load = application.load(&pair.server(), "load", 500).await?;
    let start = Instant::now();
    pair.replace(0).await?;
    println!("   the new pod is ready after {:.1} s", elapsed(start));
    let found = application.compare(&pair.replica(0), "item", ITEMS).await?;
    println!("   {} of {ITEMS} items are on it with their values, flags and times to live", found.good);
    let report = load.stop().await?;
    println!(
        "   the application: {} commands, {} reconnects, {} errors, {} misses",
        report.commands, report.reconnects, report.errors, report.misses
    );
    ensure!(found.good == ITEMS && report.errors == 0 && report.misses == 0, "{found:?} {report:?}");
    Ok(())
}

/// Removes what the demonstration put into the cluster.
pub async fn remove() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    // the pair first, while its operator is there
    for (namespace, patience) in [(NAMESPACE, LATER), (OPERATOR, Duration::from_secs(60))] {
        if namespace == OPERATOR && namespaces.get_opt(namespace).await?.is_some() {
            Operator::at(&cluster, namespace).uninstall().await.context("cannot uninstall the operator")?;
        }
        let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
        wait_until(&format!("namespace {namespace} to be gone"), patience, async || {
            ensure!(namespaces.get_opt(namespace).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
