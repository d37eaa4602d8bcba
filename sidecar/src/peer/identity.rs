//! PURE: whether this process is still the one with its replica id.

/// When nobody has said so for this long, nobody will: clients are served as in any partition.
pub const PATIENCE_MS: u64 = 5000;
/// A greeting may have been sent before it was asked; the frame after it was sent by somebody who has read ours.
const FRESH_FRAMES: u64 = 2;

/// Whether this process is still the one with its replica id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The peer has a link with it.
    Current,
    /// The peer, or the operator, says that a newer process is.
    Replaced,
    /// Nobody says anything.
    Unknown,
}

/// What is known.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// The peer, or the operator, has said that a newer process has this replica id.
    pub fenced: bool,
    /// Frames of the peer on a link that was made after it was asked; 0 without one.
    pub frames: u64,
    /// There is nobody to ask: no address of a peer, and none ever came.
    pub nobody: bool,
    /// How long ago it was asked, in milliseconds.
    pub waited_ms: u64,
}

/// The answer, where there is one already.
#[must_use]
pub fn answer(signs: Signs) -> Option<Identity> {
    match signs {
        Signs { fenced: true, .. } => Some(Identity::Replaced),
        Signs { frames: FRESH_FRAMES.., .. } => Some(Identity::Current),
        Signs { nobody: true, .. } | Signs { waited_ms: PATIENCE_MS.., .. } => Some(Identity::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_after_the_question_counts() {
        let signs = Signs { fenced: false, frames: 0, nobody: false, waited_ms: 0 };
        assert_eq!(answer(signs), None);
        assert_eq!(answer(Signs { frames: 1, ..signs }), None, "a greeting may be old");
        assert_eq!(answer(Signs { frames: 2, ..signs }), Some(Identity::Current));
        assert_eq!(answer(Signs { frames: 2, fenced: true, ..signs }), Some(Identity::Replaced));
        assert_eq!(answer(Signs { nobody: true, ..signs }), Some(Identity::Unknown));
        assert_eq!(answer(Signs { waited_ms: PATIENCE_MS, frames: 1, ..signs }), Some(Identity::Unknown));
    }
}
