//! What reading may cost.
//!
//! A batch of a few kilobytes may decompress to as much as a codec can say, and brokers do not look. So decompression stops while it
//! streams: at a size for each batch, at a ratio, and for whoever reads a whole fetch at once, at a size and a ratio for all of it.

use crate::protocol::records::error::BatchErrorKind;

/// So much any batch may decompress to, whatever the ratio: producers don't make larger ones, but some that compress well.
const RATIO_FREE: usize = 16 << 20;

/// What reading may cost, and whether checksums are looked at.
///
/// ```
/// use klamm::protocol::records::Limits;
///
/// let strict = Limits { max_decompressed: 8 << 20, ..Limits::default() };
/// assert!(strict.verify_checksum);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one batch may decompress to. 128 MiB.
    pub max_decompressed: usize,
    /// How many times its size a batch, or a fetch, may decompress to where that is above 16 MiB. 2,000: about twice what gzip can
    /// say, and out of reach for LZ4 and snappy, so that only zstd meets it.
    pub max_ratio: usize,
    /// Bytes that all batches of one fetch may decompress to together, where they are read within a [`FetchBudget`]. 1 GiB.
    pub max_fetch_decompressed: usize,
    /// Compare checksums before anything else of a batch is believed? Yes; what has been checked before, such as a log on the own
    /// disk, may do without.
    pub verify_checksum: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_decompressed: 128 << 20, max_ratio: 2_000, max_fetch_decompressed: 1 << 30, verify_checksum: true }
    }
}

impl Limits {
    /// What a fetch of `fetched` bytes may decompress to.
    pub fn fetch_budget(&self, fetched: usize) -> FetchBudget {
        let limit = self.max_fetch_decompressed.min(self.of_ratio(fetched));
        FetchBudget { limit, left: limit }
    }

    fn of_ratio(&self, compressed: usize) -> usize {
        compressed.saturating_mul(self.max_ratio).max(RATIO_FREE)
    }

    /// Decompresses `input` by `decompress`, which takes the limit that counts, and charges `budget`.
    pub(super) fn decompress(
        &self,
        input: &[u8],
        budget: Option<&mut FetchBudget>,
        decompress: impl FnOnce(&[u8], usize) -> Result<Vec<u8>, BatchErrorKind>,
    ) -> Result<Vec<u8>, BatchErrorKind> {
        let (of_ratio, of_fetch) = (self.of_ratio(input.len()), budget.as_ref().map_or(usize::MAX, |budget| budget.left));
        let limit = self.max_decompressed.min(of_ratio).min(of_fetch);
        match decompress(input, limit) {
            Ok(out) => {
                if let Some(budget) = budget {
                    budget.left = budget.left.saturating_sub(out.len());
                }
                Ok(out)
            }
            Err(BatchErrorKind::TooLarge { compression, .. }) if limit < self.max_decompressed => Err(match budget {
                Some(budget) if of_fetch <= of_ratio => BatchErrorKind::FetchTooLarge { compression, limit: budget.limit },
                _ => BatchErrorKind::RatioTooHigh { compression, ratio: self.max_ratio },
            }),
            Err(other) => Err(other),
        }
    }
}

/// What the batches of one fetch may still decompress to; from [`Limits::fetch_budget`], for
/// [`Batch::records_within`](super::Batch::records_within).
#[derive(Debug)]
pub struct FetchBudget {
    limit: usize,
    left: usize,
}

impl FetchBudget {
    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.left
    }
}
