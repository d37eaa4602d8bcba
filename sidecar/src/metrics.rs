//! `/metrics`: what [`Stats`] holds, as OpenMetrics. Read at the time of the scrape, so nothing is counted twice.

mod local;
mod process;
mod replication;
mod table;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

use crate::stats::Stats;
use process::Process;
use table::Table;

/// What `/metrics` answers as its content type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of this program.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics that read `stats`.
    #[must_use]
    pub fn new(stats: Arc<Stats>) -> Self {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("rmc");
        ours.register_collector(Box::new(Ours(stats)));
        registry.register_collector(Box::new(Process));
        Self { registry }
    }

    /// The text of a scrape.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // a String takes everything
            Err(fmt::Error) => String::new(),
        }
    }
}

#[derive(Debug)]
struct Ours(Arc<Stats>);

impl Collector for Ours {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut table = Table(encoder);
        let stats = &*self.0;
        table.info("build", "This program", "version", env!("CARGO_PKG_VERSION"))?;
        local::life(&mut table, stats)?;
        local::clients(&mut table, stats)?;
        local::access(&mut table, stats)?;
        local::upstream(&mut table, stats)?;
        replication::link(&mut table, &stats.replication)?;
        replication::log(&mut table, &stats.replication)?;
        replication::state(&mut table, &stats.replication)?;
        replication::resync(&mut table, &stats.replication)
    }
}

#[cfg(test)]
mod tests;
