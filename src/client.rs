//! The handle a user holds: gives out producers, consumers, the admin.
