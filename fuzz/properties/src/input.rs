//! Choices out of fuzzed bytes, from the front. What is missing at the end is zeroes: every input means something.

/// What is left of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// Is nothing left?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is this text somewhere in what is left? Fuzzing finds out what it is compared with, a password too; whoever says it may hear it.
    pub(crate) fn knows(&self, text: &str) -> bool {
        self.0.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// So many bytes, or as many as are left.
    pub(crate) fn slice(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let from = self.slice(N);
        out[..from.len()].copy_from_slice(from);
        out
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.array())
    }

    pub(crate) fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.array())
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Bytes behind a length of one byte, of which the highest values stand for long ones.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let len = match self.byte() {
            len @ ..=0xf7 => usize::from(len),
            len => 1 << (8 + (len & 7)),
        };
        self.slice(len)
    }

    /// As [`piece`](Self::piece), or nothing at all.
    pub(crate) fn maybe_piece(&mut self) -> Option<&'a [u8]> {
        let is_there = self.flag();
        is_there.then(|| self.piece())
    }

    /// The beginning of a [`piece`](Self::piece) that is text.
    pub(crate) fn text(&mut self) -> &'a str {
        let piece = self.piece();
        match std::str::from_utf8(piece) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&piece[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}
