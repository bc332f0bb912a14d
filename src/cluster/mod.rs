//! Many brokers: metadata, coordinators, routing, retries.
