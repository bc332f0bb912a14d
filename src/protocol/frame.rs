//! Cuts a stream of bytes into frames: a length in four bytes, then as many bytes.
//!
//! The driver reads from its transport into [`Frames::read_buffer`] and takes out whole frames with [`Frames::next_frame`]. No
//! length is trusted before its bytes arrive: memory is set aside for at most [`Frames::set_trusted`] bytes at once (what our own
//! request allowed the broker to send), and beyond that only as much again as was received. A length that cannot be one ends the
//! connection, for nothing after it can be found; the error says so where it is plain what the other side speaks instead.
//!
//! Frames come out as slices of the buffer they were read into, never copied. A small frame therefore keeps its neighbours alive.

use bytes::{Bytes, BytesMut};

/// Bytes set aside for a frame at once while no more of it has arrived.
const TRUSTED: usize = 1 << 20;
/// Room for a read when no length is known.
const READ: usize = 16 << 10;

/// A stream that is not, or no longer, a sequence of Kafka frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is negative, or leaves no room for a correlation id.
    BadLength(i32),
    /// The length is above the limit.
    TooLong {
        /// The length found.
        len: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The other side answers in HTTP.
    Http,
    /// The other side answers with a TLS record.
    Tls,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadLength(len) => write!(f, "frame of length {len}: the other side does not speak Kafka's protocol"),
            Self::TooLong { len, limit } => {
                write!(f, "frame of {len} bytes, allowed are {limit}: not Kafka's protocol, or the limit for frames is too low")
            }
            Self::Http => f.write_str("the other side answers in HTTP; check host and port"),
            Self::Tls => {
                f.write_str("the other side answers in TLS: this is a TLS listener, connect with TLS or use another port")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// The receiving end of a connection, without the connection.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    limit: usize,
    trusted: usize,
}

impl Frames {
    /// Frames may be `limit` bytes long, their length field not counted.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, trusted: TRUSTED }
    }

    /// Changes the limit, for frames not yet cut.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Says how many bytes our own requests allow the next frame to have: so many are set aside at once. Never below 1 MiB.
    pub fn set_trusted(&mut self, bytes: usize) {
        self.trusted = bytes.max(TRUSTED);
    }

    /// The buffer to append received bytes to, with room for what is expected next.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        let received = self.buffer.len();
        let missing = match self.length() {
            Some(Ok(len)) => (4 + len).saturating_sub(received),
            _ => 0,
        };
        let step = missing.min(self.trusted.saturating_sub(received).max(received)).max(READ);
        if self.buffer.capacity() - received < step.min(missing.max(1024)) {
            self.buffer.reserve(step);
        }
        &mut self.buffer
    }

    /// Takes out the next frame, if all of it is there. Call until `None`.
    ///
    /// # Errors
    /// A [`FrameError`] is final: the connection must be closed.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(len) = self.length().transpose()? else { return Ok(None) };
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(4 + len).freeze();
        Ok(Some(frame.split_off(4)))
    }

    /// Has a frame begun that is not complete? Then an end of the stream is a break, not a farewell.
    pub fn is_inside_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The length that stands at the buffer's start.
    fn length(&self) -> Option<Result<usize, FrameError>> {
        let head = *self.buffer.first_chunk::<4>()?;
        let value = i32::from_be_bytes(head);
        Some(match usize::try_from(value) {
            Ok(len) if (4..=self.limit).contains(&len) => Ok(len),
            Ok(len) if len > self.limit => Err(match head {
                [b'H', b'T', b'T', b'P'] => FrameError::Http,
                // A record of an alert or of a handshake, of SSL 3.0 to TLS 1.3.
                [0x15 | 0x16, 0x03, ..] => FrameError::Tls,
                _ => FrameError::TooLong { len, limit: self.limit },
            }),
            _ => Err(FrameError::BadLength(value)),
        })
    }
}
