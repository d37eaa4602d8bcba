//! Differences that may be none of the sidecar's.

use super::super::history::{Answer, History};

/// So many seconds the clock of a memcached may stay behind after a standstill, which may have ended just before the case.
const CLOCKS_APART: u64 = 30;
/// What packets say of a value that is no number, and what lines do.
const NOT_A_NUMBER: u16 = 0x0006;
const NOT_A_NUMBER_LINE: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value";

/// Why a case that differs is played again: what the sidecar does differs each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing but times to live differs, and by no more than the clocks may.
    Clocks,
    /// One of the two has counted where the other one saw no number. Of a value of nothing but white space, which damage
    /// may leave, memcached reads on behind its end, and there lies what was stored before.
    Memory,
    /// The machine stood still meanwhile, after which the sidecar turns its clients away.
    StoodStill,
}

impl Doubt {
    /// About these answers of memcached and of the sidecar, which differ.
    pub(super) fn about(history: &History, expected: &[Answer], seen: &[Answer]) -> Option<Doubt> {
        if history.compare(expected, seen, CLOCKS_APART).is_ok() {
            Some(Doubt::Clocks)
        } else if not_numbers(expected) != not_numbers(seen) {
            Some(Doubt::Memory)
        } else {
            None
        }
    }
}

/// How often a value was said to be no number.
fn not_numbers(answers: &[Answer]) -> usize {
    let count = |answer: &Answer| match answer {
        Answer::Lines(reply) => memchr::memmem::find_iter(&reply.bytes, NOT_A_NUMBER_LINE).count(),
        Answer::Packets(seen) => seen.packets.iter().filter(|packet| packet.status == NOT_A_NUMBER).count(),
    };
    answers.iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::history::Step;
    use crate::differential::script::{Cut, Reply};

    #[test]
    fn numbers_and_times_are_in_doubt_and_nothing_else() {
        let step = || Step::Lines { on: 0, lines: b"incr @a 1\r\nmg @a t\r\n".to_vec() };
        let history = History { cut: Cut::Whole, padding: 0, server: Default::default(), steps: vec![step(), step()] };
        let answers = |texts: [&str; 2]| {
            texts.map(|text| Answer::Lines(Reply { bytes: text.as_bytes().to_vec(), closed: false })).to_vec()
        };
        let no_number = format!("{}\r\nHD t-1\r\n", String::from_utf8_lossy(NOT_A_NUMBER_LINE));
        let doubt = |seen| Doubt::about(&history, &answers(["7\r\nHD t90\r\n", &no_number]), &answers(seen));
        assert_eq!(doubt(["7\r\nHD t120\r\n", &no_number]), Some(Doubt::Clocks));
        assert_eq!(doubt(["7\r\nHD t121\r\n", &no_number]), None);
        assert_eq!(doubt(["8\r\nHD t90\r\n", &no_number]), None);
        assert_eq!(doubt(["7\r\nHD t90\r\n", "1\r\nHD t-1\r\n"]), Some(Doubt::Memory));
        assert_eq!(doubt([&no_number, &no_number]), Some(Doubt::Memory));
    }
}
