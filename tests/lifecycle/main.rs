//! From the first call to the last goodbye: what is left of clients that were dropped in the middle of their work, how long closing
//! takes when no broker answers, what a runtime that ends leaves behind, and what an idle client costs.
//!
//! Everything runs in one thread on the paused clock; `lifecycle_sockets.rs` is the same over TCP, where descriptors are counted.

mod closes;
mod cycles;
mod drops;
mod idle;
mod runtime_ends;
mod storms;
mod work;
#[path = "../world/mod.rs"]
mod world;
