//! How large the next thing may be, by those that were seen.

/// A number of bytes that follows growth at once and shrinks slowly: by a 64th with each smaller one.
#[derive(Clone, Copy, Debug)]
pub struct Guess(usize);

impl Guess {
    /// Begins with this many.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// One was so large.
    pub fn saw(&mut self, bytes: usize) {
        self.0 = (self.0 - self.0.div_ceil(64)).max(bytes);
    }

    /// The guess, in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_at_once_and_shrinks_slowly_to_what_is_seen() {
        let mut guess = Guess::new(6400);
        guess.saw(10);
        assert_eq!(guess.bytes(), 6300);
        guess.saw(1_000_000);
        assert_eq!(guess.bytes(), 1_000_000);
        for _ in 0..2000 {
            guess.saw(10);
        }
        assert_eq!(guess.bytes(), 10);
    }
}
