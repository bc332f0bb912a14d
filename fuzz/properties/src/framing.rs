//! What stands around messages and what they are made of: frames, headers, values.

use std::fmt::Debug;

use bytes::Bytes;
use klamm::protocol::frame::{FrameError, Frames};
use klamm::protocol::header::{RequestHeader, correlation_id, decode_response, encode_request_head};
use klamm::protocol::{ApiKey, Cx, Reader, Records, Str, TopicName, Uuid, Wire, Writer};

use crate::input::Input;

/// The limit of a frame, sizes of pieces, the stream: the frames are the same however the stream is cut.
pub(crate) fn frames(input: &[u8]) {
    let mut input = Input(input);
    let (limit, step, grows) = (usize::from(input.short()) << 6, usize::from(input.byte()) + 1, input.flag());
    let stream = input.0;
    let whole = cut(stream, limit, stream.len().max(1), false);
    assert_eq!(cut(stream, limit, step, grows), whole);
    let (frames, end) = whole;
    let mut at = 0;
    for frame in &frames {
        assert_eq!(stream[at..at + 4], (frame.len() as u32).to_be_bytes());
        assert_eq!(stream[at + 4..at + 4 + frame.len()], frame[..]);
        assert!(frame.len() <= limit, "a frame of {} bytes", frame.len());
        at += 4 + frame.len();
    }
    assert_eq!(end == Ok(true), at < stream.len() && end.is_ok(), "what is left is the beginning of a frame");
}

/// The frames of `stream`, fed in steps, and whether it ends inside of one.
fn cut(stream: &[u8], limit: usize, step: usize, grows: bool) -> (Vec<Bytes>, Result<bool, FrameError>) {
    let mut frames = Frames::new(limit);
    let (mut out, mut fed, mut step) = (Vec::new(), 0, step);
    while fed < stream.len() {
        let piece = &stream[fed..stream.len().min(fed + step)];
        let buffer = frames.read_buffer();
        let room = 2 * (buffer.len() + piece.len()).max(1 << 20) + (64 << 10);
        assert!(buffer.capacity() <= room, "room for {} bytes after {}", buffer.capacity(), buffer.len());
        buffer.extend_from_slice(piece);
        fed += piece.len();
        step += usize::from(grows);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
    }
    let inside = frames.is_inside_frame();
    (out, Ok(inside))
}

/// A frame: what of a header can be read can be written, and says the same.
pub(crate) fn headers(input: &[u8]) {
    let frame = Bytes::copy_from_slice(input);
    if let Ok((header, body)) = RequestHeader::decode(&frame) {
        let api = header.api_key.api().expect("headers of unknown APIs are refused");
        let flexible = (api.is_flexible)(header.api_version);
        let RequestHeader { api_key, api_version, correlation_id: id, client_id } = &header;
        let head =
            encode_request_head(*api_key, *api_version, flexible, *id, client_id.as_ref(), body.len()).expect("it fits a frame");
        let again = Bytes::from([&head[..], &body[..]].concat());
        assert_eq!(again[..4], (again.len() as u32 - 4).to_be_bytes());
        assert!(again.len() - 4 <= frame.len());
        assert_eq!(RequestHeader::decode(&again.slice(4..)), Ok((header, body)));
    }
    assert_eq!(correlation_id(&frame).is_ok(), frame.len() >= 4);
    let api = frame.first_chunk().map_or(ApiKey::PRODUCE, |key| ApiKey(i16::from_be_bytes(*key)));
    for flexible in [false, true] {
        let Ok((id, body)) = decode_response(&frame, api, flexible) else { continue };
        assert_eq!(Ok(id), correlation_id(&frame));
        assert!(frame.ends_with(&body) && body.len() + 4 <= frame.len());
    }
}

/// Which type, how, and the bytes.
pub(crate) fn primitives(input: &[u8]) {
    let mut input = Input(input);
    let (which, how) = (input.byte(), input.byte());
    let cx = Cx { version: 0, flexible: how & 1 == 1, nullable: how & 2 == 2 };
    let bytes = Bytes::copy_from_slice(input.0);
    match which % 16 {
        0 => value::<bool>(&bytes, cx),
        1 => value::<i8>(&bytes, cx),
        2 => value::<i16>(&bytes, cx),
        3 => value::<u16>(&bytes, cx),
        4 => value::<i32>(&bytes, cx),
        5 => value::<i64>(&bytes, cx),
        6 => float(&bytes, cx),
        7 => value::<Uuid>(&bytes, cx),
        8 => value::<Str>(&bytes, cx),
        9 => value::<Option<Str>>(&bytes, cx),
        10 => value::<Option<Bytes>>(&bytes, cx),
        11 => value::<Vec<TopicName>>(&bytes, cx),
        12 => value::<Option<Vec<Vec<i32>>>>(&bytes, cx),
        13 => value::<Option<Records>>(&bytes, cx),
        14 => value::<Vec<Uuid>>(&bytes, cx),
        _ => uvarint(&bytes),
    }
}

/// What can be read can be written, in as many bytes as it says, and is the same when read again.
fn value<T: Wire + Debug>(bytes: &Bytes, cx: Cx) {
    let mut reader = Reader::new(bytes);
    let Ok(value) = T::take(&mut reader, cx) else { return };
    let read = bytes.len() - reader.left();
    assert!(value.check(cx, true).is_ok(), "{value:?}");
    let again = written(&value, cx);
    assert!(again.len() <= read, "{value:?} stood in {read} bytes");
    let mut reader = Reader::new(&again);
    assert_eq!(T::take(&mut reader, cx), Ok(value));
    assert_eq!(reader.left(), 0);
}

fn written<T: Wire>(value: &T, cx: Cx) -> Bytes {
    let mut shared = 0;
    let len = value.size(cx, &mut shared);
    let copied = len.saturating_sub(shared);
    let mut writer = Writer::with_capacity(copied);
    writer.put(value, copied, cx);
    let out = writer.finish().concat();
    assert_eq!(out.len(), len);
    out.into()
}

/// As [`value`], where a value need not be equal to itself.
fn float(bytes: &Bytes, cx: Cx) {
    let Ok(value) = f64::take(&mut Reader::new(bytes), cx) else { return };
    assert_eq!(written(&value, cx), bytes.slice(..8));
}

fn uvarint(bytes: &Bytes) {
    let mut reader = Reader::new(bytes);
    let Ok(value) = reader.uvarint() else { return };
    let read = bytes.len() - reader.left();
    assert!((1..=5).contains(&read));
    // The shortest form says the same.
    let (mut again, mut rest) = (Vec::new(), value);
    while rest > 0x7f {
        again.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    again.push(rest as u8);
    assert!(again.len() <= read);
    assert_eq!(Reader::new(&again.into()).uvarint(), Ok(value));
}
