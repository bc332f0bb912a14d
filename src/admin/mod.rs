//! Administration: topics, configurations, groups.
