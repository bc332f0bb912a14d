//! The buffered producer: ruby-kafka's contract.
