//! Where frames begin and end in a stream of bytes, and which API each request calls.

use klamm::protocol::ApiKey;

/// Follows the frames that go one way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    passed: u64,
    /// How many bytes had passed when each of them ended.
    ends: Vec<u64>,
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
                self.passed += taken as u64;
                bytes = &bytes[taken..];
                if self.left == 0 {
                    self.ends.push(self.passed);
                }
                continue;
            }
            let taken = (6 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            self.passed += taken as u64;
            bytes = &bytes[taken..];
            if let &[a, b, c, d, high, low] = &self.head[..] {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                assert!((5..1 << 26).contains(&len), "{len} bytes are no frame");
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

    /// How many bytes had passed at the end of each.
    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// What was asked for so far; of answers it says nothing.
    pub(crate) fn apis(&self) -> &[ApiKey] {
        &self.apis
    }
}
