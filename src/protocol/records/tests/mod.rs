//! Unit tests of record batches.

use super::*;

mod encoding;
