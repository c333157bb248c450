//! Which buffers an engine receives into and answers from.

use crate::answer::RESERVE;
use crate::limits::Limits;
use crate::pool::{Class, ClassCounts};

/// How an engine uses the buffers of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferRoles {
    /// The class of the buffers that are lent to the reactor, with which a receive starts: the smallest one of which there are
    /// buffers, but [`Tiny`](Class::Tiny) only if the longest head fits into it.
    pub receive: Class,
    /// The number of buffers of that class that are never lent, if answers are written to the same class; otherwise 0. Unless
    /// one is left to receive into and one for the answer, nothing ever moves.
    pub reserve: usize,
}

impl BufferRoles {
    /// The roles of these buffers; `None` if no request could be received, or none answered.
    ///
    /// ```
    /// use aurora_http_core::budget::BufferRoles;
    /// use aurora_http_core::limits::Limits;
    /// use aurora_http_core::pool::{Class, ClassCounts};
    ///
    /// let roles = BufferRoles::of(ClassCounts::NONE.with(Class::Small, 8), &Limits::default());
    /// assert_eq!(roles, Some(BufferRoles { receive: Class::Small, reserve: 2 }));
    /// ```
    #[must_use]
    pub const fn of(buffers: ClassCounts, limits: &Limits) -> Option<Self> {
        let Some(receive) = buffers.first_from(Self::receive_min(buffers, limits)) else { return None };
        let Some(fits) = buffers.sizes().for_len(RESERVE) else { return None };
        let Some(answer) = buffers.first_from(fits) else { return None };
        let count = buffers.of(receive) as usize;
        let reserve = if answer.index() == receive.index() { count.div_ceil(4) } else { 0 };
        if count > reserve { Some(Self { receive, reserve }) } else { None }
    }

    /// The smallest class that a receive may start with.
    #[must_use]
    pub const fn receive_min(buffers: ClassCounts, limits: &Limits) -> Class {
        if limits.head_bytes_max as usize <= buffers.sizes().of(Class::Tiny) { Class::Tiny } else { Class::Small }
    }
}
