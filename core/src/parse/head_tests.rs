use std::cell::Cell;

std::thread_local! {
    /// Bytes looked at by this thread.
    pub(in crate::parse) static SCANNED: Cell<usize> = const { Cell::new(0) };
}
