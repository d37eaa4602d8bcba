//! What the operator counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A condition of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConditionLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which one.
    pub condition: &'static str,
}

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// This process works.
    pub active: Gauge,
    /// Reconciles.
    pub reconciles: Counter,
    /// Reconciles that failed.
    pub failures: Counter,
    /// How long they took.
    pub duration: Histogram,
    /// Objects written.
    pub writes: Counter,
    /// Pods replaced.
    pub replaced: Counter,
    /// 1 while a condition is true.
    pub conditions: Family<ConditionLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rmc_operator");
        let duration = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let metrics = Self {
            active: Gauge::default(),
            reconciles: Counter::default(),
            failures: Counter::default(),
            duration,
            writes: Counter::default(),
            replaced: Counter::default(),
            conditions: Family::default(),
            registry: Registry::default(),
        };
        registry.register("active", "1 while this process holds the Lease", metrics.active.clone());
        registry.register("reconciles", "Reconciles", metrics.reconciles.clone());
        registry.register("reconcile_failures", "Reconciles that failed", metrics.failures.clone());
        let help = "How long reconciles took";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, metrics.duration.clone());
        registry.register("writes", "Objects written, status included", metrics.writes.clone());
        registry.register("pods_replaced", "Pods evicted or removed", metrics.replaced.clone());
        registry.register("condition", "1 while a condition of a resource is true", metrics.conditions.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// In the format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // writing to a String cannot fail
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A resource is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        for condition in ["Available", "Synced", "Progressing", "Degraded"] {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            self.conditions.remove(&ConditionLabels { namespace, name, condition });
        }
    }
}
