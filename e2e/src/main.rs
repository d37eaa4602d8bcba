//! `e2e`: runs the pair and checks it from outside.
fn main() {}
