//! Deterministic reactor for tests.
