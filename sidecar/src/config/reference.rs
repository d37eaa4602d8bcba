//! The reference of all flags for docs/flags.md, from the same source as `--help`.

use clap::builder::StyledStr;
use clap::{Arg, CommandFactory};
use std::fmt::Write;

/// A table of all flags in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Flags of memcached-sidecar\n\n\
         <!-- made by `make generate` from sidecar/src/config/flags.rs; a test fails when the two differ -->\n\n\
         The command line wins over the environment; an empty variable is as none; repeated flags are \
         comma-separated in the environment; a switch is `true` or `false` there. Sizes accept `k`, `m` and `g` for \
         powers of 1024. A wrong or missing value is one line on standard error and exit code 2.\n\n\
         | flag | environment | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for arg in super::Flags::command().get_arguments().filter(|arg| !arg.is_hide_set()) {
        let (Some(long), Some(variable)) = (arg.get_long(), super::variable(arg)) else {
            continue;
        };
        let value = match arg.get_value_names() {
            Some([name, ..]) if arg.get_action().takes_values() => format!(" {name}").replace('|', "\\|"),
            _ => String::new(),
        };
        let (help, default) = help_and_default(arg);
        let default = default.unwrap_or_else(|| "-".to_owned());
        // writing to a String cannot fail
        let _ = writeln!(out, "| `--{long}{value}` | `{variable}` | {default} | {help} |");
    }
    out
}

/// The help without its default, and the default: what has no fixed value says its default in words (`Default: none.`).
pub(super) fn help_and_default(arg: &Arg) -> (String, Option<String>) {
    let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    if let Some((before, default)) = help.split_once(" Default: ") {
        return match default.split_once(". ") {
            Some((default, after)) => (format!("{before} {after}"), Some(default.to_owned())),
            None => (before.trim_end_matches('.').to_owned(), Some(default.to_owned())),
        };
    }
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = (arg.get_action().takes_values() && !values.is_empty()).then(|| values.join(","));
    (help, default)
}
