//! Where frames begin and end in a stream of bytes, and which API each of them calls.

use klamm::protocol::ApiKey;

/// Follows the requests in what a client writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    /// The length, then the API's number.
    head: Vec<u8>,
    /// What is to come of the frame after its head.
    left: usize,
    apis: Vec<ApiKey>,
}

impl Frames {
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (6 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let &[a, b, c, d, high, low] = &self.head[..] {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                assert!((8..1 << 26).contains(&len), "a request of {len} bytes is none");
                self.left = len - 2;
                self.apis.push(ApiKey(i16::from_be_bytes([high, low])));
                self.head.clear();
            }
        }
    }

    /// Is the last one whole?
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// What was asked for so far.
    pub(crate) fn apis(&self) -> &[ApiKey] {
        &self.apis
    }
}
