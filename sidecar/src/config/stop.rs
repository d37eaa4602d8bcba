//! Why the program ends before it began.

use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Why the program ends before it began.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// `--help` or `--version`: the text for standard output; exit code 0.
    #[error("{0}")]
    Text(String),
    /// One line for standard error that names the flag; exit code 2.
    #[error("{0}")]
    Invalid(String),
}

impl Stop {
    /// Prints the text where it belongs and says how to exit.
    pub fn report(&self) -> ExitCode {
        use std::io::Write;
        // whoever closed the pipe does not want the text
        match self {
            Self::Text(text) => {
                let _ = std::io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Invalid(line) => {
                let _ = writeln!(std::io::stderr(), "memcached-sidecar: {line}");
                ExitCode::from(2)
            }
        }
    }
}

/// clap's error as one line.
pub(super) fn of_clap(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Stop::Text(text);
    }
    let kept = text.split("\n\n").enumerate().filter(|(i, part)| *i == 0 || part.trim_start().starts_with("tip:"));
    let words: Vec<&str> = kept.flat_map(|(_, part)| part.split_whitespace()).collect();
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Stop::Invalid(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
}

/// Names the variable too, if the flag came from one.
pub(super) fn of_variable(stop: Stop, from_env: &[OsString]) -> Stop {
    let Stop::Invalid(line) = stop else {
        return stop;
    };
    let flags = from_env.iter().filter_map(|argument| argument.to_str()?.split('=').next());
    let mut guilty = flags.filter(|flag| line.contains(&format!("'{flag} ")) || line.contains(&format!("'{flag}'")));
    match guilty.next() {
        Some(flag) => {
            let variable = flag.trim_start_matches('-').replace('-', "_").to_ascii_uppercase();
            Stop::Invalid(format!("{line} (from RMC_{variable})"))
        }
        None => Stop::Invalid(line),
    }
}
