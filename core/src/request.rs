//! See the module's owner.
