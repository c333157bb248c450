//! Slot table with generations.
