//! Buffers between a socket and code that consumes bytes by messages.

use std::io;

use super::stream::Stream;

/// What was read and is not consumed. It grows when a message does not fit, up to a bound, and shrinks when it is empty.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    usual: usize,
    max: usize,
}

impl ReadBuffer {
    /// A buffer of `usual` bytes that grows up to `max`.
    #[must_use]
    pub fn new(usual: usize, max: usize) -> Self {
        Self { bytes: vec![0; usual], start: 0, end: 0, usual, max: max.max(usual) }
    }

    /// Begins with bytes that were read otherwise.
    pub fn preload(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(self.usual.max(1)) {
            if let Some(space) = self.space().get_mut(..chunk.len()) {
                space.copy_from_slice(chunk);
                self.filled_by(chunk.len());
            }
        }
    }

    /// What is not consumed.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// `len` bytes are done with.
    pub fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > self.usual {
                self.bytes = vec![0; self.usual];
            }
        }
    }

    /// Room to read into; empty only when a message is longer than the bound.
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            // Less than half of it free would mean many small reads.
            if self.end > self.bytes.len() / 2 && self.bytes.len() < self.max {
                let len = self.bytes.len().saturating_mul(2).min(self.max);
                self.bytes.resize(len, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `len` bytes were read into [`ReadBuffer::space`].
    pub fn filled_by(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.bytes.len());
    }

    /// Reads what is there: `None` is nothing yet, `Some(0)` the end.
    ///
    /// # Errors
    /// The connection is broken, or a message is longer than the bound.
    pub fn try_fill(&mut self, stream: &Stream) -> io::Result<Option<usize>> {
        let max = self.max;
        let space = self.space();
        if space.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message exceeds {max} bytes")));
        }
        let read = stream.try_read(space)?;
        self.filled_by(read.unwrap_or(0));
        Ok(read)
    }
}

/// Unsent bytes below this are not moved to the front.
const MOVE_FROM: usize = 256 << 10;

/// How much of a vector of bytes is sent. The vector belongs to the pure code, which goes on appending to it.
#[derive(Debug, Default)]
pub struct Sent(usize);

impl Sent {
    /// Bytes of `output` that are not sent.
    #[must_use]
    pub fn left(&self, output: &[u8]) -> usize {
        output.len().saturating_sub(self.0)
    }

    /// Bytes to be sent next.
    #[must_use]
    pub fn rest<'a>(&self, output: &'a [u8]) -> &'a [u8] {
        output.get(self.0..).unwrap_or_default()
    }

    /// `len` more bytes are sent. `keep`: capacity that is kept when nothing is left.
    pub fn advance(&mut self, output: &mut Vec<u8>, len: usize, keep: usize) {
        self.0 = self.0.saturating_add(len).min(output.len());
        if self.0 == output.len() {
            self.0 = 0;
            if output.capacity() > keep {
                *output = Vec::new();
            } else {
                output.clear();
            }
        } else if self.0 >= MOVE_FROM.max(output.len() / 2) {
            // Moved only when at least as much was sent, so that each byte is moved once at most.
            output.drain(..self.0);
            self.0 = 0;
        }
    }

    /// The output was cleared by its owner.
    pub fn reset(&mut self) {
        self.0 = 0;
    }

    /// Sends as much as the socket takes. Returns the number of bytes sent.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self, stream: &Stream, output: &mut Vec<u8>, keep: usize) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        let sent = stream.try_write(self.rest(output))?;
        self.advance(output, sent, keep);
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_for_a_long_message_and_shrinks_again() {
        let mut buffer = ReadBuffer::new(8, 32);
        let fill = |buffer: &mut ReadBuffer, len: usize| {
            for _ in 0..len {
                buffer.space()[0] = 1;
                buffer.filled_by(1);
            }
        };
        fill(&mut buffer, 8);
        buffer.consume(6);
        assert!(!buffer.space().is_empty());
        assert_eq!((buffer.bytes.len(), buffer.filled().len()), (8, 2));
        fill(&mut buffer, 30);
        assert_eq!((buffer.bytes.len(), buffer.filled().len()), (32, 32));
        assert!(buffer.space().is_empty());
        buffer.consume(40);
        assert_eq!((buffer.bytes.len(), buffer.filled().len()), (8, 0));
    }

    #[test]
    fn what_is_sent_goes_and_what_is_appended_stays() {
        let mut output = vec![1; 600 << 10];
        let mut sent = Sent::default();
        sent.advance(&mut output, 100, 1 << 20);
        assert_eq!((output.len(), sent.left(&output)), (600 << 10, (600 << 10) - 100));
        sent.advance(&mut output, 400 << 10, 1 << 20);
        assert_eq!(sent.left(&output), output.len());
        output.push(2);
        assert_eq!(sent.rest(&output).last(), Some(&2));
        let left = output.len();
        sent.advance(&mut output, left, 1 << 20);
        assert!(output.is_empty() && output.capacity() > 0);
        output.push(1);
        sent.advance(&mut output, 1, 0);
        assert_eq!(output.capacity(), 0);
    }
}
