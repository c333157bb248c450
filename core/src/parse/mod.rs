//! From bytes to requests: the adapter around httparse and our own rules on top of its lexing.

/// Most fields that any configuration can allow.
pub const FIELDS_CAPACITY: usize = 128;
