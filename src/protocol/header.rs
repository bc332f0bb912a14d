//! Request and response headers, and whole frames: length, header, body.
//!
//! Headers are written by hand because they break the rules of the messages. A request header has a tag section (version 2) exactly
//! when the request's version is flexible, yet its client id is never compact: a broker must be able to read the start of every
//! header before it knows the version. A response header has a tag section (version 1) when the version is flexible, except that of
//! ApiVersions, which never has one: the client asks before it knows what the broker speaks (KIP-511).
//!
//! The schemas have messages for both, `messages::request_header` and `response_header`, for tools that treat all messages alike.
//!
//! Nothing here is kept from one request to the next; correlation ids are given out and matched by the connection.
//!
//! A proxy reads no more than the header and hands on the bytes of the frame: so nothing is lost of what it does not know, fields of
//! newer versions and unknown tags among them.
//!
//! ```
//! use klamm::protocol::frame::Frames;
//! use klamm::protocol::header::{RequestHeader, encode_request_head};
//! use klamm::protocol::ApiKey;
//! # use klamm::protocol::header::encode_request;
//! # use klamm::protocol::messages::heartbeat::HeartbeatRequest;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut frames = Frames::new(100_000_000);
//! # frames.read_buffer().extend_from_slice(&encode_request(7, None, 4, &HeartbeatRequest::default())?.concat());
//! let frame = frames.next_frame()?.expect("a whole request was received");
//! let (header, body) = RequestHeader::decode(&frame)?;
//! assert_eq!((header.api_key, header.correlation_id), (ApiKey::HEARTBEAT, 7));
//! // To the broker under a correlation id of the proxy's own; the body goes as it came.
//! let flexible = header.api_key.api().is_some_and(|api| (api.is_flexible)(header.api_version));
//! let client_id = header.client_id.as_ref();
//! let head = encode_request_head(header.api_key, header.api_version, flexible, 1001, client_id, body.len())?;
//! let forwarded = [head, body];
//! # assert_eq!(forwarded.concat(), encode_request(1001, None, 4, &HeartbeatRequest::default())?.concat());
//! # Ok(())
//! # }
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::api::ApiKey;
use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::message::{ApiMessage, Request};
use crate::protocol::primitives::Str;
use crate::protocol::unfit::EncodeError;
use crate::protocol::wire::Reader;

/// What stands before every request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API is called.
    pub api_key: ApiKey,
    /// In which version the body is written, and the answer wanted.
    pub api_version: i16,
    /// Comes back in the response's header.
    pub correlation_id: i32,
    /// The client's name for itself, for the broker's logs, metrics and quotas.
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads the header of `frame` (without its length) and gives what follows it, the body.
    ///
    /// The body's version may be one that this library does not know: an ApiVersions request in a version of the future must be
    /// answered, so its header can be read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnknownApi`] where the API is not declared here: whether its header has tags cannot be known.
    pub fn decode(frame: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut r = Reader::new(frame);
        let api_key = ApiKey(i16::from_be_bytes(r.array()?));
        let api_version = i16::from_be_bytes(r.array()?);
        let correlation_id = i32::from_be_bytes(r.array()?);
        let len = i16::from_be_bytes(r.array()?);
        let client_id = match usize::try_from(len) {
            Ok(len) => Some(Str::new(r.shared(len)?).ok_or_else(|| r.error(DecodeErrorKind::BadText))?),
            Err(_) if len == -1 => None,
            Err(_) => return Err(r.error(DecodeErrorKind::BadLength)),
        };
        let api = api_key.api().ok_or_else(|| r.error(DecodeErrorKind::UnknownApi(api_key.0)))?;
        if (api.is_flexible)(api_version) {
            r.skip_tags()?;
        }
        let body = r.rest();
        Ok((Self { api_key, api_version, correlation_id, client_id }, body))
    }
}

/// Length and header of a request whose body, of `body_len` bytes, is written elsewhere.
///
/// `flexible` is that of the request's version, `ApiMessage::is_flexible`.
///
/// # Errors
/// [`EncodeError::TooLarge`] when header and body together do not fit a frame's length field.
pub fn encode_request_head(
    api_key: ApiKey,
    version: i16,
    flexible: bool,
    correlation_id: i32,
    client_id: Option<&Str>,
    body_len: usize,
) -> Result<Bytes, EncodeError> {
    let client_id = client_id.map(Str::as_bytes);
    let header_len = 10 + client_id.map_or(0, <[u8]>::len) + usize::from(flexible);
    let mut out = BytesMut::with_capacity(4 + header_len);
    out.put_i32(frame_len(header_len + body_len)?);
    out.put_i16(api_key.0);
    out.put_i16(version);
    out.put_i32(correlation_id);
    // Never compact, not even in a header with tags. `Str` holds no more than `i16::MAX` bytes.
    out.put_i16(client_id.map_or(-1, |text| text.len() as i16));
    out.put_slice(client_id.unwrap_or_default());
    if flexible {
        out.put_u8(0);
    }
    Ok(out.freeze())
}

/// A whole request frame, its length included, as buffers for one vectored write.
///
/// # Errors
/// When `version` is not one of the API's, cannot carry a field that is set, or the frame would be too long.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&Str>,
    version: i16,
    request: &R,
) -> Result<Vec<Bytes>, EncodeError> {
    let body = request.checked(version)?;
    let (key, flexible) = (ApiKey(R::API_KEY), R::is_flexible(version));
    let head = encode_request_head(key, version, flexible, correlation_id, client_id, body.body_len())?;
    Ok(body.write(&head))
}

/// A whole response frame, its length included, as buffers for one vectored write.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_response<M: ApiMessage>(correlation_id: i32, version: i16, response: &M) -> Result<Vec<Bytes>, EncodeError> {
    let body = response.checked(version)?;
    let tags = has_response_tags(ApiKey(M::API_KEY), M::is_flexible(version));
    let mut head = BytesMut::with_capacity(9);
    head.put_i32(frame_len(4 + usize::from(tags) + body.body_len())?);
    head.put_i32(correlation_id);
    if tags {
        head.put_u8(0);
    }
    Ok(body.write(&head))
}

/// Reads a response's correlation id and nothing else: the connection looks up with it what it had asked.
///
/// # Errors
/// [`DecodeErrorKind::Truncated`] for a frame of less than four bytes.
pub fn correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    Ok(i32::from_be_bytes(Reader::new(frame).array()?))
}

/// Reads the header of a response `frame` (without its length) to a request of `api_key` whose version is `flexible` or not, and
/// gives correlation id and body.
///
/// # Errors
/// When the frame ends inside the header, or its tag section is malformed.
pub fn decode_response(frame: &Bytes, api_key: ApiKey, flexible: bool) -> Result<(i32, Bytes), DecodeError> {
    let mut r = Reader::new(frame);
    let correlation_id = i32::from_be_bytes(r.array()?);
    if has_response_tags(api_key, flexible) {
        r.skip_tags()?;
    }
    Ok((correlation_id, r.rest()))
}

/// Does the response's header have a tag section?
fn has_response_tags(api_key: ApiKey, flexible: bool) -> bool {
    flexible && api_key != ApiKey::API_VERSIONS
}

/// The length field of a frame.
fn frame_len(len: usize) -> Result<i32, EncodeError> {
    i32::try_from(len).map_err(|_| EncodeError::TooLarge { len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
    use crate::protocol::messages::{request_header, response_header};
    use crate::protocol::{ClientId, ErrorCode, GroupId, Writer};

    fn heartbeat() -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: GroupId::new("g").unwrap(),
            member_id: Str::new("m").unwrap(),
            generation_id: 3,
            ..Default::default()
        }
    }

    #[test]
    fn header_version_1_has_no_tags() {
        let frame = encode_request(7, Some(&Str::new("klamm").unwrap()), 0, &heartbeat()).unwrap().concat();
        #[rustfmt::skip]
        assert_eq!(frame, [
            0, 0, 0, 25,
            0, 12, 0, 0, 0, 0, 0, 7, 0, 5, b'k', b'l', b'a', b'm', b'm',
            0, 1, b'g', 0, 0, 0, 3, 0, 1, b'm',
        ]);
    }

    #[test]
    fn header_version_2_has_tags_but_its_client_id_is_not_compact() {
        let frame = encode_request(7, Some(&Str::new("klamm").unwrap()), 4, &heartbeat()).unwrap().concat();
        #[rustfmt::skip]
        assert_eq!(frame, [
            0, 0, 0, 26,
            0, 12, 0, 4, 0, 0, 0, 7, 0, 5, b'k', b'l', b'a', b'm', b'm', 0,
            2, b'g', 0, 0, 0, 3, 2, b'm', 0, 0,
        ]);
        let frame = encode_request(7, None, 4, &heartbeat()).unwrap().concat();
        assert_eq!(frame[8..15], [0, 0, 0, 7, 0xff, 0xff, 0], "no client id is a length of -1");
    }

    #[test]
    fn a_broker_reads_what_a_client_wrote() {
        for version in HeartbeatRequest::VERSIONS {
            for client_id in [None, Str::new("klamm")] {
                let frame =
                    Bytes::from(encode_request(-7, client_id.as_ref(), version, &heartbeat()).unwrap().concat()).split_off(4);
                let (header, body) = RequestHeader::decode(&frame).unwrap();
                let wanted = RequestHeader { api_key: ApiKey::HEARTBEAT, api_version: version, correlation_id: -7, client_id };
                assert_eq!(header, wanted);
                assert_eq!(HeartbeatRequest::decode(&body, version), Ok(heartbeat()));
            }
        }
    }

    #[test]
    fn declared_headers_have_the_same_bytes() {
        for client_id in [None, Str::new(""), Str::new("klamm")] {
            for version in HeartbeatRequest::VERSIONS {
                let flexible = HeartbeatRequest::is_flexible(version);
                let declared = request_header::RequestHeader {
                    request_api_key: ApiKey::HEARTBEAT.0,
                    request_api_version: version,
                    correlation_id: 7,
                    client_id: ClientId(client_id.clone()),
                };
                let mut w = Writer::default();
                declared.encode(if flexible { 2 } else { 1 }, &mut w);
                let head = encode_request_head(ApiKey::HEARTBEAT, version, flexible, 7, client_id.as_ref(), 0).unwrap();
                assert_eq!(w.finish().concat(), head[4..], "version {version}");
                let (header, body) = RequestHeader::decode(&head.slice(4..)).unwrap();
                assert_eq!((header.client_id, body.len()), (client_id.clone(), 0));
            }
        }
        for (version, response_version) in [(0, 3), (1, 4)] {
            let mut w = Writer::default();
            response_header::ResponseHeader { correlation_id: 7 }.encode(version, &mut w);
            let header = w.finish().concat();
            let frame = encode_response(7, response_version, &HeartbeatResponse::default()).unwrap().concat();
            assert_eq!(frame[4..4 + header.len()], header);
            let left = HeartbeatResponse::default().encoded_len(response_version);
            assert_eq!(frame.len(), 4 + header.len() + left);
        }
    }

    #[test]
    fn a_broker_skips_tags_it_does_not_know_in_a_header() {
        let frame = Bytes::from_static(&[0, 12, 0, 4, 0, 0, 0, 9, 0xff, 0xff, 1, 5, 2, 1, 1, 42]);
        let (header, body) = RequestHeader::decode(&frame).unwrap();
        assert_eq!((header.correlation_id, &body[..]), (9, &[42][..]));
    }

    #[test]
    fn the_header_of_an_api_versions_request_of_the_future_can_be_read() {
        let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 1, 0, 1, b'x', 0, 1, 2, 3]);
        let (header, _) = RequestHeader::decode(&frame).unwrap();
        assert_eq!((header.api_key, header.api_version, header.correlation_id), (ApiKey::API_VERSIONS, 99, 1));
    }

    #[test]
    fn broken_request_headers_are_errors() {
        for (frame, kind) in [
            (&[0, 12, 0, 4, 0, 0, 0][..], DecodeErrorKind::Truncated),
            (&[0, 12, 0, 4, 0, 0, 0, 1, 0, 5, b'k'], DecodeErrorKind::Truncated),
            (&[0, 12, 0, 4, 0, 0, 0, 1, 0xff, 0xfe], DecodeErrorKind::BadLength),
            (&[0, 12, 0, 4, 0, 0, 0, 1, 0, 1, 0xff, 0], DecodeErrorKind::BadText),
            (&[0x7f, 0xff, 0, 4, 0, 0, 0, 1, 0xff, 0xff], DecodeErrorKind::UnknownApi(0x7fff)),
        ] {
            assert_eq!(RequestHeader::decode(&Bytes::from_static(frame)).unwrap_err().kind, kind, "{frame:?}");
        }
    }

    #[test]
    fn response_headers_have_tags_where_the_version_is_flexible() {
        let response = HeartbeatResponse { error_code: ErrorCode::REBALANCE_IN_PROGRESS, ..Default::default() };
        let old = encode_response(7, 3, &response).unwrap().concat();
        assert_eq!(old, [0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 27]);
        let new = encode_response(7, 4, &response).unwrap().concat();
        assert_eq!(new, [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 27, 0]);
        for (frame, version) in [(old, 3), (new, 4)] {
            let frame = Bytes::from(frame).split_off(4);
            assert_eq!(correlation_id(&frame), Ok(7));
            let (id, body) = decode_response(&frame, ApiKey::HEARTBEAT, HeartbeatResponse::is_flexible(version)).unwrap();
            assert_eq!((id, HeartbeatResponse::decode(&body, version)), (7, Ok(response.clone())));
        }
    }

    #[test]
    fn api_versions_responses_never_have_header_tags() {
        for version in ApiVersionsResponse::VERSIONS {
            let frame = encode_response(7, version, &ApiVersionsResponse::default()).unwrap().concat();
            assert_eq!(frame[8..10], [0, 0], "the error code comes at once");
            let frame = Bytes::from(frame).split_off(4);
            let (_, body) = decode_response(&frame, ApiKey::API_VERSIONS, ApiVersionsResponse::is_flexible(version)).unwrap();
            assert_eq!(ApiVersionsResponse::decode(&body, version), Ok(ApiVersionsResponse::default()));
        }
    }

    #[test]
    fn requests_are_checked_before_they_are_written() {
        let request = ApiVersionsRequest { cluster_id: Str::new("c"), ..Default::default() };
        assert!(encode_request(1, None, 4, &request).is_ok(), "a broker of version 4 can do without");
        assert_eq!(
            encode_request(1, None, 6, &request),
            Err(EncodeError::UnsupportedVersion { message: "ApiVersionsRequest", version: 6 })
        );
        let head = encode_request_head(ApiKey::PRODUCE, 9, true, 1, None, i32::MAX as usize);
        assert_eq!(head, Err(EncodeError::TooLarge { len: i32::MAX as usize + 11 }));
    }
}
