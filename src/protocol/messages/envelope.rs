//! Envelope: a client's request that a broker forwards, with who sent it (KIP-590). From brokers to the active controller.
//!
//! What is inside can hold passwords and tokens, so it is never shown.

use bytes::Bytes;

use crate::protocol::{ErrorCode, SecretBytes};

message! {
    request 58 -> EnvelopeResponse, versions 0..=0, flexible 0.., listeners [controller];

    /// The request, header included, and its sender.
    struct EnvelopeRequest {
        request_data: SecretBytes [0..],
        /// In the broker's own form, by default a DefaultPrincipalData after its version.
        request_principal: Option<Bytes> [0.., null 0..],
        /// As it goes over the network: 4 or 16 bytes.
        client_host_address: Bytes [0..],
    }
}

message! {
    response 58, versions 0..=0, flexible 0..;

    /// The answer for the client, header included.
    struct EnvelopeResponse {
        response_data: Option<SecretBytes> [0.., null 0..] = None,
        error_code: ErrorCode [0..],
    }
}
