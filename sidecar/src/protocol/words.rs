//! A command line cut at its blanks.

/// Words that memcached looks at; the rest of a line is ignored (but for the keys of a get).
pub(super) const TOKENS: usize = 23;
/// Words that are kept with their place. No command needs more.
const KEPT: usize = 7;

/// The first word of `line` and what stands behind it. Only ` ` separates.
#[inline]
pub(super) fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let start = line.iter().position(|byte| *byte != b' ').unwrap_or(line.len());
    let line = line.get(start..).unwrap_or_default();
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    line.split_at_checked(end).unwrap_or((line, &[]))
}

/// The words of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    line: &'a [u8],
    kept: [(u32, u32); KEPT],
    last: (u32, u32),
    count: usize,
}

impl<'a> Words<'a> {
    /// `line` without its line end, shorter than 4 GiB.
    #[inline]
    pub(super) fn new(line: &'a [u8]) -> Self {
        let mut words = Self { line, kept: [(0, 0); KEPT], last: (0, 0), count: 0 };
        let mut start = 0;
        for at in memchr::memchr_iter(b' ', line) {
            if at > start && words.push(start, at) {
                return words;
            }
            start = at + 1;
        }
        if line.len() > start {
            words.push(start, line.len());
        }
        words
    }

    /// Adds a word; true when no more are looked at.
    #[inline]
    fn push(&mut self, start: usize, end: usize) -> bool {
        self.last = (start as u32, end as u32);
        if let Some(kept) = self.kept.get_mut(self.count) {
            *kept = self.last;
        }
        self.count += 1;
        self.count == TOKENS
    }

    /// How many words there are, at most 23.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Word number `index`, empty if there is none (or `index` is above 6).
    #[inline]
    pub(super) fn get(&self, index: usize) -> &'a [u8] {
        if index >= self.count {
            return &[];
        }
        let (start, end) = self.kept.get(index).copied().unwrap_or_default();
        self.line.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The line from word number `index` on, empty if there is none.
    #[inline]
    pub(super) fn from(&self, index: usize) -> &'a [u8] {
        if index >= self.count {
            return &[];
        }
        let (start, _) = self.kept.get(index).copied().unwrap_or_default();
        self.line.get(start as usize..).unwrap_or_default()
    }

    /// The last of the words, empty if there are none.
    #[inline]
    pub(super) fn last(&self) -> &'a [u8] {
        let (start, end) = self.last;
        self.line.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Whether the last word asks for silence.
    #[inline]
    pub(super) fn noreply(&self) -> bool {
        self.last() == b"noreply"
    }
}
