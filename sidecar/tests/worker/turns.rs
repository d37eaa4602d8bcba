//! A key that all workers write is handed from one to the other with all that each has, not write by write.

use super::rig::{NOW, Rig};

const SET: &[u8] = b"set k 0 0 1\r\nv\r\n";

fn sets(sent: &str) -> usize {
    sent.lines().filter(|line| line.starts_with("ms k ")).count()
}

#[test]
fn in_one_turn_all_of_them_go_though_another_worker_waits() {
    let mut rig = Rig::new();
    let mine = [rig.clients[0], rig.workers[0].open(), rig.workers[0].open()];
    rig.workers[0].client_input(mine[0], SET, NOW);
    assert_eq!(rig.send(1, &SET.repeat(3)), "", "waits");
    rig.workers[0].client_input(mine[1], &SET.repeat(3), NOW);
    assert_eq!(sets(&rig.sent(0)), 4);

    rig.workers[0].client_input(mine[2], &SET.repeat(3), NOW);
    assert_eq!(rig.sent(0), "", "it is the other worker's turn");
    assert!(rig.answer(&b"HD\r\n".repeat(4)));
    assert_eq!(rig.sent(0), "");
    rig.workers[1].woken(NOW);
    assert_eq!(sets(&rig.sent(1)), 3, "all that waited there");

    assert!(rig.answer_to(1, &b"HD\r\n".repeat(3)));
    rig.workers[0].woken(NOW);
    assert_eq!(sets(&rig.sent(0)), 3);
}
