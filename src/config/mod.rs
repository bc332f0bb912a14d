//! Settings: properties files, seeds, defaults.
