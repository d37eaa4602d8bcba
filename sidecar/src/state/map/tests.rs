use super::*;
use tempfile::TempDir;

const LEN: usize = 1 << 20;

fn no_migration(_: &[u8], _: &mut [u8]) {
    panic!("there is nothing to migrate");
}

fn message(result: Result<StateMap, StateMapError>) -> String {
    result.expect_err("opened").to_string()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("made/here");
    let mut map = StateMap::open(&state, LEN, no_migration).unwrap();
    assert!(map.iter().all(|b| *b == 0) && map.len() == LEN);
    map[7] = 7;
    map[LEN - 1] = 9;
    drop(map);
    let map = StateMap::open(&state, LEN, no_migration).unwrap();
    assert_eq!((map.len(), map[7], map[LEN - 1]), (LEN, 7, 9));
}

#[test]
fn the_file_is_private_and_sparse() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, b"").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let _map = StateMap::open(dir.path(), 64 << 20, no_migration).unwrap();
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!((file.len(), file.mode() & 0o777), (64 << 20, 0o600));
    assert!(file.blocks() * 512 < 1 << 20, "{} blocks", file.blocks());
}

#[test]
fn a_second_sidecar_is_refused_until_the_first_ends() {
    let dir = TempDir::new().unwrap();
    let first = StateMap::open(dir.path(), LEN, no_migration).unwrap();
    let error = message(StateMap::open(dir.path(), LEN, no_migration));
    assert!(error.ends_with("/state is in use by another sidecar"), "{error}");
    drop(first);
    StateMap::open(dir.path(), LEN, no_migration).unwrap();
}

#[test]
fn another_length_is_migrated_and_the_lock_holds_over_it() {
    let dir = TempDir::new().unwrap();
    let mut map = StateMap::open(dir.path(), LEN, no_migration).unwrap();
    map[0] = 5;
    drop(map);
    // left over from a migration that was killed
    std::fs::write(dir.path().join(NEXT), vec![1; 2 * LEN]).unwrap();
    for len in [2 * LEN, LEN / 2] {
        let map = StateMap::open(dir.path(), len, |old, new| {
            assert!(new.iter().all(|b| *b == 0));
            new[0] = old[0] + 1;
        })
        .unwrap();
        assert_eq!(map.len(), len);
        let error = message(StateMap::open(dir.path(), len, no_migration));
        assert!(error.contains("in use"), "{error}");
        assert!(!dir.path().join(NEXT).exists());
        drop(map);
    }
    let map = StateMap::open(dir.path(), LEN / 2, no_migration).unwrap();
    assert_eq!(map[0], 7);
}

#[test]
fn errors_name_the_file() {
    let dir = TempDir::new().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, b"precious").unwrap();
    let link = dir.path().join("link");
    std::fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink(&elsewhere, link.join(FILE)).unwrap();
    let error = message(StateMap::open(&link, LEN, no_migration));
    assert!(error.starts_with("cannot open ") && error.contains("link/state"), "{error}");
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");

    let error = message(StateMap::open(&elsewhere, LEN, no_migration));
    assert!(error.starts_with("cannot create "), "{error}");

    let error = message(StateMap::open(dir.path(), 1 << 60, no_migration));
    assert!(error.contains("bytes free") || error.contains("free"), "{error}");
    assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().len(), 0);
}

#[test]
fn memory_without_a_file_is_as_long() {
    let mut map = StateMap::anonymous(LEN).unwrap();
    assert!(map.iter().all(|b| *b == 0) && map.len() == LEN);
    map[LEN - 1] = 1;
    assert_eq!(map[LEN - 1], 1);
}
