//! The greatest version in a memcached that nothing is known of.

use std::io;

use super::connect::{ask, connect};
use crate::clock::{Now, Version};
use crate::config::Upstream;
use crate::net::buffer::ReadBuffer;
use crate::net::stream::Stream;
use crate::protocol::dump::{self, DumpLine};
use crate::protocol::encode;

/// A version this far ahead of the clock was not made by a sidecar, in microseconds: ten years.
const AHEAD_MAX_US: u64 = 10 * 366 * 86_400 * 1_000_000;
/// A dump that is refused since another one runs is tried again after so many milliseconds, so many times.
const RETRY: (u64, u32) = (200, 300);

/// The greatest CAS of all items.
///
/// # Errors
/// The dump fails, or there are CAS numbers that no sidecar wrote.
pub async fn greatest_version(at: &Upstream, now: Now) -> io::Result<Version> {
    let mut tries = 0;
    loop {
        match dump(at).await? {
            Some(greatest) if greatest.micros() > now.wall_us.saturating_add(AHEAD_MAX_US) => {
                let text = format!("memcached holds items whose CAS ({greatest}) no sidecar wrote; restart memcached");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Some(greatest) => return Ok(greatest),
            None if tries == RETRY.1 => return Err(io::ErrorKind::TimedOut.into()),
            None => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(RETRY.0)).await;
    }
}

/// Undoes a client's `lru_crawler disable`. The answer, an error where nobody did, has to be waited for: memcached refuses
/// a dump that is pipelined behind another command.
///
/// # Errors
/// The connection breaks.
pub async fn enable_crawler(stream: &Stream) -> io::Result<()> {
    ask(stream, encode::CRAWLER_ENABLE, |answer| answer.ends_with(b"\n")).await.map(drop)
}

/// `None`: memcached cannot dump just now, or what it dumped is not whole. A release that does not wait for who reads slowly
/// overwrites lines with the end, so anything may come behind the first item.
async fn dump(at: &Upstream) -> io::Result<Option<Version>> {
    let broken = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let stream = connect(at).await?;
    enable_crawler(&stream).await?;
    stream.write_all(encode::METADUMP).await?;
    let mut buffer = ReadBuffer::new(256 << 10, 256 << 10);
    let mut greatest = Version::ZERO;
    loop {
        let len = stream.read(buffer.space()).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.filled_by(len);
        loop {
            let begun = greatest > Version::ZERO;
            let (line, len) = match dump::parse(buffer.filled()) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(_) if begun => return Ok(None),
                Err(error) => return Err(broken(error.to_string())),
            };
            match line {
                DumpLine::Item(item) => greatest = greatest.max(Version::of_item(item.cas)),
                DumpLine::Started => {}
                DumpLine::End => {
                    buffer.consume(len);
                    let mut answer = buffer.filled().to_vec();
                    let behind = ask(&stream, encode::NOOP, |answer| answer.ends_with(encode::NOOP_ANSWER)).await;
                    answer.extend_from_slice(&behind.unwrap_or_default());
                    return Ok((answer == encode::NOOP_ANSWER).then_some(greatest));
                }
                DumpLine::Retry { .. } => return Ok(None),
                DumpLine::Refused { .. } if begun => return Ok(None),
                DumpLine::Refused { line } => {
                    return Err(broken(format!("memcached refuses a metadump: {}", line.escape_ascii())));
                }
            }
            buffer.consume(len);
        }
    }
}
