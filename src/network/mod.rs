//! One connection to one broker: set-up, frames, requests in flight, time-outs.
