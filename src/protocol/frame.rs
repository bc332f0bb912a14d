//! Cuts a stream of bytes into frames: a length in four bytes, then as many bytes.
//!
//! The driver reads from its transport into [`Frames::read_buffer`] and takes out whole frames with [`Frames::next_frame`]. No
//! length is trusted before its bytes arrive: memory is set aside for at most [`Frames::set_trusted`] bytes at once (what our own
//! request allowed the broker to send), and beyond that only as much again as was received. A length that cannot be one ends the
//! connection, for nothing after it can be found; the error says so where it is plain what the other side speaks instead.
//!
//! Frames come out as slices of the buffer they were read into, never copied. Small ones share it, so one that is kept keeps its
//! neighbours alive; a large one does not outlive itself.

use bytes::{Bytes, BytesMut};

/// Bytes set aside for a frame at once while no more of it has arrived.
const TRUSTED: usize = 1 << 20;
/// Room for a read when no length is known.
const READ: usize = 16 << 10;
/// From this size on a frame gets its memory to itself.
const LARGE: usize = 4 * READ;

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
            Self::Tls => f.write_str(
                "the other side answers in TLS: connect with TLS (security.protocol=SSL or SASL_SSL), or to another port",
            ),
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
        let (received, capacity) = (self.buffer.len(), self.buffer.capacity());
        // Of a frame whose length stands there, what has not come yet; else anything may come.
        let missing = match self.length() {
            Some(Ok(len)) => (4 + len).saturating_sub(received),
            _ => READ,
        };
        let trusted = (received + missing).min(self.trusted);
        if capacity < trusted {
            self.buffer.reserve(trusted - received);
        } else if capacity - received < missing.min(READ / 4) {
            self.buffer.reserve(missing.min(received).max(READ));
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
        if len > LARGE && self.buffer.len() < READ {
            // The start of the next frame, if any: left where it is, it would keep this frame's memory after the frame is gone.
            self.buffer = BytesMut::from(&*self.buffer);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(limit: usize, bytes: &[u8]) -> Frames {
        let mut frames = Frames::new(limit);
        frames.read_buffer().extend_from_slice(bytes);
        frames
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let stream = [&[0, 0, 0, 4, 1, 2, 3, 4][..], &[0, 0, 0, 5, 5, 6, 7, 8, 9]].concat();
        for step in 1..=stream.len() {
            let (mut frames, mut seen) = (Frames::new(100), Vec::new());
            for bytes in stream.chunks(step) {
                frames.read_buffer().extend_from_slice(bytes);
                while let Some(frame) = frames.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, [&[1, 2, 3, 4][..], &[5, 6, 7, 8, 9]], "in steps of {step}");
            assert!(!frames.is_inside_frame());
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_told_from_one_between_frames() {
        let mut frames = frames(100, &[0, 0, 0, 4, 1, 2, 3, 4, 0]);
        assert!(frames.next_frame().unwrap().is_some());
        assert_eq!(frames.next_frame(), Ok(None));
        assert!(frames.is_inside_frame());
    }

    #[test]
    fn lengths_that_cannot_be_are_errors_at_once() {
        for (bytes, error) in [
            (&[0, 0, 0, 3][..], FrameError::BadLength(3)),
            (&[0, 0, 0, 0], FrameError::BadLength(0)),
            (&[0xff; 4], FrameError::BadLength(-1)),
            (&[0x80, 0, 0, 0], FrameError::BadLength(i32::MIN)),
            (&[0, 0, 0, 101], FrameError::TooLong { len: 101, limit: 100 }),
            (&[0x7f, 0xff, 0xff, 0xff], FrameError::TooLong { len: i32::MAX as usize, limit: 100 }),
        ] {
            assert_eq!(frames(100, bytes).next_frame(), Err(error));
        }
        assert_eq!(frames(100, &[0, 0, 0, 100]).next_frame(), Ok(None));
    }

    #[test]
    fn http_and_tls_are_recognised() {
        let mut http = frames(100_000_000, b"HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(http.next_frame(), Err(FrameError::Http));
        for alert in [&[0x15, 3, 1, 0, 2, 2, 70][..], &[0x15, 3, 3, 0, 2, 2, 22], &[0x16, 3, 3, 0, 80, 2]] {
            assert_eq!(frames(100_000_000, alert).next_frame(), Err(FrameError::Tls));
        }
        assert!(FrameError::Tls.to_string().contains("connect with TLS (security.protocol=SSL"));
    }

    #[test]
    fn a_claimed_length_is_not_memory() {
        let mut frames = frames(100_000_000, &90_000_000i32.to_be_bytes());
        assert!(frames.read_buffer().capacity() < 2 * TRUSTED);
        let mut received = 4;
        while received < 4_000_000 {
            let buffer = frames.read_buffer();
            let room = buffer.capacity() - buffer.len();
            assert!(room > 0 && buffer.capacity() <= 2 * received.max(TRUSTED) + READ, "{room} bytes of room after {received}");
            let step = room.min(60_000);
            buffer.resize(buffer.len() + step, 0);
            received += step;
            assert_eq!(frames.next_frame(), Ok(None));
        }
    }

    #[test]
    fn what_our_own_request_allows_is_set_aside_at_once() {
        let mut frames = frames(100_000_000, &50_000_000i32.to_be_bytes());
        frames.set_trusted(60_000_000);
        let capacity = frames.read_buffer().capacity();
        assert!((50_000_004..70_000_000).contains(&capacity), "{capacity}");
    }
}
