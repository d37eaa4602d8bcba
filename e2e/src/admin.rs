//! The sidecar's HTTP port: `/livez`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::{Address, Client};

/// Status and body of a GET.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut client = Client::connect(&Address::Tcp(address))?.patience(Duration::from_secs(5));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let answer = client.read_to_end().with_context(|| format!("GET {path}"))?;
    let answer = String::from_utf8(answer).context("the answer is not UTF-8")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no HTTP status")?;
    Ok((status, body.to_owned()))
}

/// The value of one metric in an OpenMetrics text: of the series whose name with labels is exactly `series`.
pub fn metric(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.split(' ').next()?.parse().ok())
}

/// The sum over all label values of one metric.
pub fn metric_sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = if rest.starts_with('{') { rest.split_once("} ")?.1 } else { rest.strip_prefix(' ')? };
            value.split(' ').next()?.parse::<f64>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_name_and_labels() {
        let text = "# TYPE a counter\na_total 3\na_total_more 9\nb{x=\"1 2\"} 4\nb{x=\"2\"} 5.5 1700000000\n";
        assert_eq!(metric(text, "a_total"), Some(3.0));
        assert_eq!(metric(text, "b{x=\"2\"}"), Some(5.5));
        assert_eq!(metric(text, "b"), None);
        assert!((metric_sum(text, "b") - 9.5).abs() < 1e-9);
        assert!((metric_sum(text, "a_total") - 3.0).abs() < 1e-9);
    }
}
