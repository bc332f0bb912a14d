//! Record batches (format version 2): written in place, read borrowed.
