//! docs/flags.md is what `make generate` writes.

use std::path::Path;

#[test]
fn the_reference_of_flags_is_up_to_date() {
    // cargo runs tests in the directory of the package
    let path = Path::new("../docs/flags.md");
    let generated = sidecar::config::markdown();
    #[expect(clippy::disallowed_methods, reason = "`make generate` runs this test to write the file")]
    if std::env::var_os("GENERATE").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == generated, "docs/flags.md differs from sidecar/src/config/flags.rs; run `make generate`");
}
