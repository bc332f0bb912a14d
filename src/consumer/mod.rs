//! Consumers: groups, positions, fetched records.
