//! PURE: counts answers in a stream of bytes, however it is cut.

use memchr::memchr;

/// Longest start of a line that is kept: enough for the words before the length of a value with the longest key.
const LINE: usize = 320;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// complete answers
    pub(super) answers: u64,
    /// of them: `ERROR`, `CLIENT_ERROR`, `SERVER_ERROR`
    pub(super) errors: u64,
    /// of them: `END` without a `VALUE` before
    pub(super) misses: u64,
}

/// Where in an answer the bytes so far have ended.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// bytes of a value, with its line end, that are still to come
    data: usize,
    /// the start of a line that has not ended yet
    line: Vec<u8>,
    /// the answer under way has had a value
    hit: bool,
}

impl Scanner {
    /// Takes the next bytes.
    pub(super) fn scan(&mut self, mut bytes: &[u8], counts: &mut Counts) {
        loop {
            let skipped = self.data.min(bytes.len());
            self.data -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some(end) = memchr(b'\n', bytes) else { break };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.end_of_line(line, counts);
            } else {
                let mut start = std::mem::take(&mut self.line);
                start.extend_from_slice(line);
                self.end_of_line(&start, counts);
                start.clear();
                self.line = start;
            }
        }
        let room = LINE.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    fn end_of_line(&mut self, line: &[u8], counts: &mut Counts) {
        if let Some(rest) = line.strip_prefix(b"VALUE ") {
            // key, flags, length, perhaps a cas number
            let length = rest.trim_ascii_end().split(|&byte| byte == b' ').nth(2).unwrap_or_default();
            let number =
                |sum: usize, byte: &u8| sum.wrapping_mul(10).wrapping_add(usize::from(byte.wrapping_sub(b'0')));
            self.data = length.iter().fold(0, number).saturating_add(2);
            self.hit = true;
            return;
        }
        counts.answers += 1;
        counts.misses += u64::from(line == b"END\r\n" && !self.hit);
        counts.errors += u64::from(line.windows(5).take(8).any(|window| window == b"ERROR"));
        self.hit = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: &[u8] = b"STORED\r\nVALUE k 0 5\r\nEND\r\n\r\nVALUE j 7 0 99\r\n\r\nEND\r\nEND\r\nERROR\r\n\
        SERVER_ERROR object too large for cache\r\nCLIENT_ERROR bad\r\n17\r\nVALUE k 0 12\r\nVALUE a 0 1\n\r\nEND\r\n";

    #[test]
    fn answers_are_counted_however_the_bytes_are_cut() {
        for length in 1..=ANSWERS.len() {
            let (mut scanner, mut counts) = (Scanner::default(), Counts::default());
            for piece in ANSWERS.chunks(length) {
                scanner.scan(piece, &mut counts);
            }
            assert_eq!(counts, Counts { answers: 8, errors: 3, misses: 1 }, "pieces of {length}");
        }
    }
}
