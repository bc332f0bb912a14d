//! Those who wait for the same: none is disturbed when another is dropped.
