//! In the steady state a request allocates nothing.

use allocation_counter::measure;

use super::rig::Rig;

/// Enough for all buffers, tables and guesses to have their sizes.
const WARM_UP: usize = 20_000;
const MEASURED: usize = 10_000;

#[test]
fn a_get_allocates_nothing() {
    let mut rig = Rig::new();
    rig.gets(WARM_UP);
    let seen = measure(|| rig.gets(MEASURED));
    assert_eq!((seen.count_total, seen.bytes_total), (0, 0), "in {MEASURED} gets");
}

#[test]
fn a_set_allocates_nothing() {
    let mut rig = Rig::new();
    rig.sets(WARM_UP);
    let seen = measure(|| rig.sets(MEASURED));
    assert_eq!((seen.count_total, seen.bytes_total), (0, 0), "in {MEASURED} sets");
}
