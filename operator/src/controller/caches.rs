//! What is watched: the resources, and every object and pod of theirs. Secrets are not: the operator may not list them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Predicate, WatchStreamExt, predicates, reflector, watcher};
use kube::{Api, Client, Resource};

use crate::api::ReplicatedMemcached;
use crate::build::Kind;
use crate::names::{APPLICATION, MANAGED_BY};
use crate::pods::label;

/// The kinds that are watched.
const KINDS: [Kind; 5] =
    [Kind::ServiceAccount, Kind::Service, Kind::NetworkPolicy, Kind::PodDisruptionBudget, Kind::StatefulSet];

/// What is known without asking.
#[derive(Clone)]
pub(super) struct Caches {
    children: BTreeMap<Kind, Store<DynamicObject>>,
    /// All pods of all pairs.
    pub(super) pods: Store<Pod>,
    /// All resources.
    pub(super) resources: Store<ReplicatedMemcached>,
}

impl Caches {
    /// Waits until everything was listed once.
    pub(super) async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        for store in self.children.values() {
            store.wait_until_ready().await?;
        }
        self.pods.wait_until_ready().await
    }

    /// An object, where it is watched and labelled as ours.
    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let key = ObjectRef::<DynamicObject>::new_with(name, kind.api_resource()).within(namespace);
        self.children.get(&kind)?.get(&key)
    }
}

/// A controller that begins when something changes, and what it reads.
pub(super) struct Watched {
    pub(super) controller: Controller<ReplicatedMemcached>,
    pub(super) caches: Caches,
}

/// Watches one namespace, or all.
pub(super) fn watch(client: &Client, namespace: Option<&str>) -> Watched {
    let everything = watcher::Config::default();
    let ours = watcher::Config::default()
        .labels(&format!("app.kubernetes.io/managed-by={MANAGED_BY},app.kubernetes.io/name={APPLICATION}"));

    let api: Api<ReplicatedMemcached> = scope(client, namespace);
    let (resources, writer) = reflector::store();
    // What the operator writes into the status begins nothing.
    let changes = watcher(api, everything)
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation.combine(predicates::annotations), Default::default());
    let mut controller = Controller::for_stream(changes, resources.clone());

    let mut children = BTreeMap::new();
    for kind in KINDS {
        let resource = kind.api_resource();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let writer = Writer::new(resource.clone());
        children.insert(kind, writer.as_reader());
        let touched = watcher(api, ours.clone()).default_backoff().reflect(writer).touched_objects();
        controller = controller.owns_stream_with(touched, resource);
    }

    let (pods, writer) = reflector::store();
    let touched = watcher(scope::<Pod>(client, namespace), ours).default_backoff().reflect(writer).touched_objects();
    let controller = controller.watches_stream(touched, |pod: Pod| {
        let name = label(&pod, "app.kubernetes.io/instance");
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        (!name.is_empty()).then(|| ObjectRef::new(&name).within(&namespace))
    });
    Watched { controller, caches: Caches { children, pods, resources } }
}

fn scope<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
