//! Requests without a client: for tests on the level of the protocol.

use std::io;

use bytes::Bytes;
use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::{ApiKey, ApiMessage, Request, Str};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::driver::Pipe;

/// A connection without a client behind it, for tests on the level of the protocol.
#[derive(Debug)]
pub struct RawClient {
    pipe: Pipe,
    correlation_id: i32,
}

impl RawClient {
    pub(crate) fn new(pipe: Pipe) -> Self {
        Self { pipe, correlation_id: 0 }
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// When the request does not fit the version, the node closes the connection, or the answer cannot be read.
    pub async fn request<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let sent = self.send(version, request).await?;
        let (correlation_id, response) = self.receive::<R>(version).await?;
        if sent == correlation_id { Ok(response) } else { Err(invalid(format!("answer {correlation_id} to request {sent}"))) }
    }

    /// Sends a request and gives its correlation id; does not wait.
    ///
    /// # Errors
    /// When the request does not fit the version, or the connection is closed.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        self.correlation_id += 1;
        let client_id = Str::try_from("raw").map_err(invalid)?;
        let frame = encode_request(self.correlation_id, Some(&client_id), version, request).map_err(invalid)?;
        for part in frame {
            self.pipe.write_all(&part).await?;
        }
        Ok(self.correlation_id)
    }

    /// Waits for the next answer, which must be one to an `R` of this version; gives its correlation id too.
    ///
    /// # Errors
    /// When the node closes the connection, or the answer cannot be read.
    pub async fn receive<R: Request>(&mut self, version: i16) -> io::Result<(i32, R::Response)> {
        let len = usize::try_from(self.pipe.read_i32().await?).map_err(invalid)?;
        if len > MAX_ANSWER {
            return Err(invalid(format!("an answer of {len} bytes")));
        }
        let mut frame = Vec::new();
        (&mut self.pipe).take(len as u64).read_to_end(&mut frame).await?;
        if frame.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (correlation_id, body) =
            decode_response(&frame.into(), ApiKey(R::API_KEY), R::is_flexible(version)).map_err(invalid)?;
        let response =
            R::Response::decode(&body, version).map_err(|error| invalid(R::Response::explain(&body, version, error)))?;
        Ok((correlation_id, response))
    }

    /// Sends bytes of any kind.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pipe.write_all(bytes).await
    }

    /// Reads until the node closes the connection.
    ///
    /// # Errors
    /// Never so far.
    pub async fn read_to_end(&mut self) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        self.pipe.read_to_end(&mut bytes).await?;
        Ok(bytes.into())
    }
}

/// Longer is no answer.
const MAX_ANSWER: usize = 256 << 20;

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
