//! Every edge case of the list has a test that bears its number, here or in the sidecar.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

/// So many are in the list.
const EDGES: u32 = 37;

fn collect(directory: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The forms that a number takes in a test.
fn forms(number: u32) -> [String; 5] {
    [
        format!("case(\"{number}\","),
        format!("Case::new(\"{number}\","),
        format!("lines(\"{number}\","),
        format!("fn edge_{number:02}_"),
        format!("_and_{number:02}_"),
    ]
}

#[test]
fn each_edge_has_a_test() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut text = String::new();
    for directory in ["e2e/tests", "sidecar/tests", "sidecar/src"] {
        collect(&root.join(directory), &mut text)?;
    }
    let has = |number: &u32| forms(*number).iter().any(|form| text.contains(form));
    let missing: Vec<u32> = (1..=EDGES).filter(|number| !has(number)).collect();
    ensure!(missing.is_empty(), "no test bears the numbers {missing:?}");
    ensure!(!has(&(EDGES + 1)), "the list is longer: {EDGES} is to be raised");
    Ok(())
}
