//! Simulated files, for sends of their parts.

use alloc::vec::Vec;

use crate::reactor::{FileId, FileRange};

/// The open files of a network, and the places of closed ones.
#[derive(Debug, Default)]
pub(super) struct Files {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    /// `None` once it has been closed.
    bytes: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn open(&mut self, bytes: Vec<u8>) -> FileId {
        let free = self.places.iter().position(|place| place.bytes.is_none());
        let index = free.unwrap_or(self.places.len());
        if free.is_none() {
            self.places.push(Place { generation: 0, bytes: None });
        }
        self.places[index].bytes = Some(bytes);
        FileId { index: index as u32, generation: self.places[index].generation }
    }

    pub(super) fn content(&mut self, file: FileId) -> Option<&mut Vec<u8>> {
        let place = self.places.get_mut(file.index as usize)?;
        place.bytes.as_mut().filter(|_| place.generation == file.generation)
    }

    pub(super) fn close(&mut self, file: FileId) {
        if let Some(place) = self.places.get_mut(file.index as usize)
            && place.generation == file.generation
        {
            (place.generation, place.bytes) = (place.generation.wrapping_add(1), None);
        }
    }

    /// What there is of a range; `None` if the file is not open.
    pub(super) fn read(&self, range: FileRange) -> Option<&[u8]> {
        let place = self.places.get(range.file.index as usize)?;
        let bytes = place.bytes.as_ref().filter(|_| place.generation == range.file.generation)?;
        let rest = bytes.get(usize::try_from(range.offset).ok()?..).unwrap_or_default();
        Some(&rest[..rest.len().min(range.len as usize)])
    }
}
