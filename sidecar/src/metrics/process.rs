//! What every Prometheus client library tells of its process, read from /proc. Left out where that cannot be read.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use std::fmt;
use std::fs;

use super::table::{Table, Unit};

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut table = Table(encoder);
        if let Some(usage) = fs::read_to_string("/proc/self/stat").ok().and_then(|s| usage(&s)) {
            let cpu = ConstCounter::new(usage.cpu_seconds);
            table.metric("process_cpu", "User and system CPU time", Unit::Seconds, &cpu)?;
            table.gauge("process_resident_memory", "Resident memory", Unit::Bytes, usage.resident)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let open = open.count() as u64;
            table.gauge("process_open_fds", "Open file descriptors", Unit::None, open)?;
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident: u64,
}

/// From a line of proc_pid_stat(5). The name in brackets may hold anything, so fields are counted behind it.
fn usage(stat: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)?.checked_add(number(15)?)?;
    Some(Usage {
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        resident: number(24)?.checked_mul(rustix::param::page_size() as u64)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_behind_the_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 1 0 5 1000 3 9 9";
        let page = rustix::param::page_size() as u64;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let expected = Usage { cpu_seconds: 200.0 / ticks, resident: 3 * page };
        assert_eq!(usage(line), Some(expected));
        for broken in ["", "7 (a", "7 (a) S 1", "7 (a) S x x x x x x x x x x x x x x x x x x x x x x"] {
            assert_eq!(usage(broken), None);
        }
    }
}
