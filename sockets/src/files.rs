//! Open files that a program shares with its reactors.
//!
//! A handler refers to a file by its [`FileId`], because the core, which knows no descriptors, passes it on. The table between
//! the two is one for the process: handlers and reactors share nothing else, and an id of a file that has been closed names no
//! other file afterwards, so a send that is too late fails instead of sending something else.

extern crate std;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::thread_local;

use aurora_http_core::reactor::{FileId, FileRange};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Threads open and close files in different parts of the table, so that they rarely wait for each other.
const PARTS: usize = 16;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// The first block of a part has this many places, each further one twice as many as the one before.
const FIRST_BLOCK: usize = 64;
const BLOCKS: usize = 16;

static TABLE: [Part; PARTS] = [const { Part::new() }; PARTS];

struct Part {
    free: Mutex<Free>,
    blocks: [OnceLock<Box<[Place]>>; BLOCKS],
}

struct Free {
    /// Places that have been used and are free.
    places: Vec<u32>,
    /// The first place that has never been used.
    unused: u32,
}

struct Place {
    /// Read during every use of the file, so that it is not closed meanwhile.
    file: RwLock<Held>,
}

struct Held {
    generation: u32,
    file: Option<OwnedFd>,
}

impl Part {
    const fn new() -> Self {
        let free = Free { places: Vec::new(), unused: 0 };
        Self { free: Mutex::new(free), blocks: [const { OnceLock::new() }; BLOCKS] }
    }

    fn place(&self, number: u32) -> Option<&Place> {
        let (block, at) = block_of(number);
        self.blocks.get(block)?.get()?.get(at)
    }

    /// A place that nobody uses; `None` if there are too many open files.
    fn take(&self) -> Option<u32> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = free.places.pop() {
            return Some(number);
        }
        let number = free.unused;
        let (block, _) = block_of(number);
        let len = FIRST_BLOCK << block;
        self.blocks.get(block)?.get_or_init(|| (0..len).map(|_| Place::new()).collect());
        // Room for all of them, so that giving one back never allocates.
        let used = free.places.len();
        free.places.reserve((number as usize + len).saturating_sub(used));
        free.unused += 1;
        Some(number)
    }

    fn give_back(&self, number: u32) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).places.push(number);
    }
}

impl Place {
    const fn new() -> Self {
        Self { file: RwLock::new(Held { generation: 0, file: None }) }
    }
}

/// The block of a place, and its position there.
const fn block_of(number: u32) -> (usize, usize) {
    let above = number as usize / FIRST_BLOCK + 1;
    let block = above.ilog2() as usize;
    (block, number as usize + FIRST_BLOCK - (FIRST_BLOCK << block))
}

/// The part of the calling thread.
fn own_part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    PART.with(|part| {
        if part.get() == usize::MAX {
            part.set(NEXT.fetch_add(1, Ordering::Relaxed) % PARTS);
        }
        part.get()
    })
}

/// An open file whose parts can be sent with
/// [`ResponseWriter::write_file`](aurora_http_core::writer::ResponseWriter::write_file). It is closed when this is dropped; a
/// send that has not begun by then fails.
///
/// ```
/// use std::fs::File;
/// use std::io::Read;
///
/// use aurora_http_sockets::OpenFile;
///
/// # fn main() -> std::io::Result<()> {
/// let file = OpenFile::new(File::open("Cargo.toml")?.into()).expect("few files are open");
/// let range = file.range(0, 9);
/// assert_eq!((range.file, range.len), (file.id(), 9));
/// # Ok(())
/// # }
/// ```
pub struct OpenFile {
    id: FileId,
}

impl OpenFile {
    /// Takes a file, opened for reading. After a thread's first 64 this rarely allocates.
    ///
    /// # Errors
    /// Returns the file if millions of them are open.
    pub fn new(file: OwnedFd) -> Result<Self, OwnedFd> {
        let part = own_part();
        let Some(number) = TABLE[part].take() else { return Err(file) };
        let Some(place) = TABLE[part].place(number) else { return Err(file) };
        let mut held = place.file.write().unwrap_or_else(PoisonError::into_inner);
        held.file = Some(file);
        Ok(Self { id: FileId { index: number << PART_BITS | part as u32, generation: held.generation } })
    }

    /// What reactors know it by.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// A part of it.
    #[must_use]
    pub const fn range(&self, offset: u64, len: u32) -> FileRange {
        FileRange { file: self.id, offset, len }
    }

    /// Calls `with` with its descriptor.
    pub fn with<T>(&self, with: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match with_file(self.id, with) {
            Some(value) => value,
            None => unreachable!("the file is closed by its drop"),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let (part, number) = (self.id.index as usize % PARTS, self.id.index >> PART_BITS);
        let Some(place) = TABLE[part].place(number) else { return };
        let mut held = place.file.write().unwrap_or_else(PoisonError::into_inner);
        held.generation = held.generation.wrapping_add(1);
        let file = held.file.take();
        drop(held);
        TABLE[part].give_back(number);
        drop(file);
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenFile").field(&self.id).finish()
    }
}

/// Calls `with` with the descriptor of an open file, which stays open for the call; `None` if it has been closed.
pub(crate) fn with_file<T>(id: FileId, with: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
    let place = TABLE[id.index as usize % PARTS].place(id.index >> PART_BITS)?;
    let held = place.file.read().unwrap_or_else(PoisonError::into_inner);
    let file = held.file.as_ref().filter(|_| held.generation == id.generation)?;
    Some(with(file.as_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn open(path: &str) -> OpenFile {
        OpenFile::new(File::open(path).unwrap().into()).unwrap()
    }

    #[test]
    fn places_of_blocks_follow_each_other() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(block_of(number), expected, "{number}");
            expected.1 += 1;
            if expected.1 == FIRST_BLOCK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn a_closed_file_is_not_found_even_when_its_place_is_used_again() {
        let first = open("Cargo.toml");
        let stale = first.id();
        assert!(with_file(stale, |_| ()).is_some());
        drop(first);
        assert!(with_file(stale, |_| ()).is_none());
        let second = open("src/lib.rs");
        assert_eq!(second.id().index, stale.index, "the place is used again");
        assert!(with_file(stale, |_| ()).is_none());
        assert!(with_file(second.id(), |_| ()).is_some());
    }

    #[test]
    fn many_files_are_open_at_once() {
        let files: Vec<_> = (0..200).map(|_| open("Cargo.toml")).collect();
        let mut ids: Vec<_> = files.iter().map(|file| file.id().index).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), files.len());
        assert!(files.iter().all(|file| with_file(file.id(), |_| ()).is_some()));
    }
}
