//! The table: printed line by line as it is measured, and kept in `target/bench/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Options;
use crate::paths::target_dir;

/// What a ratio or a number must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// for information
    None,
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Target::AtLeast(bound) => value >= bound,
            Target::AtMost(bound) => value <= bound,
            Target::None => true,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Target::AtLeast(bound) => format!(">= {bound}{unit}"),
            Target::AtMost(bound) => format!("<= {bound}{unit}"),
            Target::None => String::new(),
        }
    }
}

/// One line of the table.
pub(super) struct Line<'a> {
    pub(super) what: &'a str,
    /// memcached itself, with its unit
    pub(super) direct: String,
    pub(super) ours: String,
    /// what is judged, one of each round: ratios, or numbers with a unit
    pub(super) values: &'a [f64],
    /// behind the number; empty for ratios
    pub(super) unit: &'static str,
    pub(super) target: Target,
    /// ratio of twemproxy to memcached
    pub(super) twemproxy: Option<f64>,
}

/// Collects and prints.
pub(super) struct Report {
    text: String,
    /// names of columns, printed with the first line below them
    heading: Option<String>,
    /// `None`: it is only printed
    file: Option<PathBuf>,
    missed: usize,
    strict: bool,
}

/// The middle one of some numbers.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits that mean something.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Requests per second, in thousands.
pub(super) fn per_second(rate: f64) -> String {
    if rate >= 1000.0 { format!("{}k/s", short(rate / 1000.0)) } else { format!("{}/s", short(rate)) }
}

impl Report {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let dir = target_dir().join("bench");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = dir.join(if options.quick() { "report-quick.txt" } else { "report.txt" });
        Ok(Report { file: Some(file), ..Report::printed(options) })
    }

    /// One that is only printed.
    pub(super) fn printed(options: &Options) -> Self {
        Report { text: String::new(), heading: None, file: None, missed: 0, strict: options.strict }
    }

    /// Where a file beside the report belongs.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.file.as_ref().map_or_else(|| target_dir().join(name), |file| file.with_file_name(name))
    }

    /// Prints a line of text.
    pub(super) fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// The names of the columns of the lines that follow.
    pub(super) fn heading(&mut self, title: &str) {
        self.heading = Some(format!(
            "\n{title:<44} {:>11} {:>11} {:>9} {:>13} {:>9} {:>6} {:>9}",
            "memcached", "ours", "ratio", "spread", "target", "", "twemproxy"
        ));
    }

    /// Prints one line of the table.
    pub(super) fn row(&mut self, line: &Line<'_>) {
        if let Some(heading) = self.heading.take() {
            self.line(&heading);
        }
        let value = median(line.values);
        let least = line.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = line.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spread = if line.values.len() > 1 { format!("{}-{}", short(least), short(most)) } else { String::new() };
        let met = line.target.met(value);
        self.missed += usize::from(!met);
        let judged = match (line.target, met) {
            (Target::None, _) => "",
            (_, true) => "pass",
            (_, false) => "FAIL",
        };
        let text = format!(
            "{:<44} {:>11} {:>11} {:>9} {:>13} {:>9} {:>6} {:>9}",
            line.what,
            line.direct,
            line.ours,
            short(value) + line.unit,
            spread,
            line.target.text(line.unit),
            judged,
            line.twemproxy.map_or(String::new(), short)
        );
        self.line(text.trim_end());
    }

    /// Writes the file; true if every target was met or that is not asked for.
    pub(super) fn finish(mut self) -> Result<bool> {
        let missed = self.missed;
        self.line(&if missed == 0 { "every target met".to_owned() } else { format!("{missed} targets missed") });
        if let Some(file) = &self.file {
            fs::write(file, &self.text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("written to {}", file.display());
        }
        Ok(missed == 0 || !self.strict)
    }
}
