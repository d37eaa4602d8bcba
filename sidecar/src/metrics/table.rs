//! Writes metrics one by one; a thin skin over the encoder of prometheus-client.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

use crate::stats::{Histogram, LAG_BOUNDS_US};

/// What a number counts. It becomes the end of the name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    None,
    Bytes,
    Seconds,
}

impl Unit {
    fn encoded(self) -> Option<prometheus_client::registry::Unit> {
        match self {
            Self::None => None,
            Self::Bytes => Some(prometheus_client::registry::Unit::Bytes),
            Self::Seconds => Some(prometheus_client::registry::Unit::Seconds),
        }
    }
}

pub(super) struct Table<'a>(pub(super) DescriptorEncoder<'a>);

impl Table<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, unit: Unit, value: u64) -> fmt::Result {
        self.metric(name, help, unit, &ConstCounter::new(value))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, unit: Unit, value: u64) -> fmt::Result {
        self.metric(name, help, unit, &ConstGauge::new(value))
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.metric(name, help, Unit::Seconds, &ConstGauge::new(value))
    }

    /// Counters that differ in labels.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, &'static str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(value).encode(metric)?;
        }
        Ok(())
    }

    /// Gauges that differ in labels.
    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, &'static str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }

    /// 1 for the value of the label that holds, 0 for the others.
    pub(super) fn one_of<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
        holds: &str,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for value in values {
            let labels = [(label, value)];
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(u64::from(value == holds)).encode(metric)?;
        }
        Ok(())
    }

    pub(super) fn info(&mut self, name: &str, help: &str, label: &'static str, value: &'static str) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        metric.encode_info(&[(label, value)])
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, of: &Histogram) -> fmt::Result {
        let (sum_us, counts) = of.read();
        let bounds = LAG_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let unit = Unit::Seconds.encoded();
        let kind = MetricType::Histogram;
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        let total = counts.iter().sum();
        metric.encode_histogram::<NoLabelSet>(sum_us as f64 / 1e6, total, &buckets, None)
    }

    /// Any other single metric.
    pub(super) fn metric(&mut self, name: &str, help: &str, unit: Unit, value: &impl EncodeMetric) -> fmt::Result {
        let unit = unit.encoded();
        let kind = value.metric_type();
        value.encode(self.0.encode_descriptor(name, help, unit.as_ref(), kind)?)
    }
}
