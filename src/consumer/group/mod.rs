//! Membership in a group, without I/O: the cores that `group_driver` runs.
