//! Where the fields of a head are.

#[cfg(not(feature = "small"))]
use core::str;

use crate::parse::FieldSlot;
#[cfg(not(feature = "small"))]
use crate::parse::Line;

/// The fields of a head, as whichever parser has read it has left them.
#[derive(Clone, Copy)]
pub(crate) enum Slots<'a> {
    /// With names that are text.
    Text(&'a [FieldSlot<'a>]),
    /// With names that become text when somebody asks for it: most names nobody reads.
    #[cfg(not(feature = "small"))]
    Lexed(&'a [Line<'a>]),
}

impl<'a> Slots<'a> {
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Text(slots) => slots.len(),
            #[cfg(not(feature = "small"))]
            Self::Lexed(lines) => lines.len(),
        }
    }

    #[inline]
    pub(crate) fn value_at(&self, index: usize) -> Option<&'a [u8]> {
        match self {
            Self::Text(slots) => slots.get(index).map(|slot| slot.value),
            #[cfg(not(feature = "small"))]
            Self::Lexed(lines) => lines.get(index).map(|line| line.value),
        }
    }

    /// Removes the first field; returns its name and value.
    pub(crate) fn pop(&mut self) -> Option<(&'a str, &'a [u8])> {
        match self {
            Self::Text(slots) => slots.split_off_first().map(|slot| (slot.name, slot.value)),
            #[cfg(not(feature = "small"))]
            // Never empty: a token is ASCII.
            Self::Lexed(lines) => {
                lines.split_off_first().map(|line| (str::from_utf8(line.name).unwrap_or_default(), line.value))
            }
        }
    }

    /// Removes fields up to the first one called `name`, in any case; returns its value.
    pub(crate) fn find(&mut self, name: &str) -> Option<&'a [u8]> {
        loop {
            let (found, value) = match self {
                Self::Text(slots) => slots.split_off_first().map(|slot| (slot.name.as_bytes(), slot.value))?,
                #[cfg(not(feature = "small"))]
                Self::Lexed(lines) => lines.split_off_first().map(|line| (line.name, line.value))?,
            };
            if found.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(value);
            }
        }
    }
}
