//! The fields of a head: look-up, iteration, lists.

use core::fmt;
use core::str::{self, FromStr};

use super::slots::Slots;
use crate::encode::is_reserved;
use crate::parse::FieldSlot;

/// One field line (RFC 9112 §5).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Field<'a> {
    /// The name, as it was sent. Names are case-insensitive.
    pub name: &'a str,
    /// The value without the white space around it. Bytes from 0x80 on are opaque.
    pub value: &'a [u8],
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value.escape_ascii())
    }
}

/// The value of a field cannot be parsed: see [`Fields::parse`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidField {
    /// Which field.
    pub name: &'static str,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of {} is invalid", self.name)
    }
}

impl core::error::Error for InvalidField {}

/// The fields of a head, in the order they were sent.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    slots: Slots<'a>,
}

impl<'a> Fields<'a> {
    /// Wraps fields that httparse has parsed, for example those of another server's response.
    #[inline(always)]
    #[must_use]
    pub const fn new(slots: &'a [FieldSlot<'a>]) -> Self {
        Self { slots: Slots::Text(slots) }
    }

    #[inline(always)]
    pub(crate) const fn of(slots: Slots<'a>) -> Self {
        Self { slots }
    }

    /// How many field lines there are.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no field.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// The value of the first field called `name`, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let mut slots = self.slots;
        slots.find(name)
    }

    /// Like [`get`](Self::get), as text; also `None` if the value is not UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&'a str> {
        str::from_utf8(self.get(name)?).ok()
    }

    /// The parsed value of the first field called `name`, in any case; `None` without such a field.
    ///
    /// ```
    /// use aurora_http_core::handler::handler_fn;
    /// use aurora_http_core::writer::WriteError;
    ///
    /// let handler = handler_fn(|request, response| -> Result<(), WriteError> {
    ///     let page: u32 = request.fields().parse("X-Page")?.unwrap_or(1);
    ///     response.body_fmt(format_args!("page {page}\n"))
    /// });
    /// ```
    ///
    /// # Errors
    /// [`InvalidField`] if it cannot be parsed. As a [`WriteError`](crate::writer::WriteError) it answers 400.
    pub fn parse<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, InvalidField> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        parsed.map(Some).ok_or(InvalidField { name })
    }

    /// The values of all fields called `name`, in any case and in order.
    #[must_use]
    pub fn get_all<'n>(&self, name: &'n str) -> GetAll<'a, 'n> {
        GetAll { slots: self.slots, name }
    }

    /// All fields, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'a> {
        Iter { slots: self.slots }
    }

    /// The fields that a proxy forwards: all but the hop-by-hop fields (RFC 9110 §7.6.1), including those that `Connection`
    /// names; `Date` and the framing fields, which the sender [writes itself](crate::encode::is_reserved); and `Expect`, which
    /// the engine has handled. A proxy adds `Via` (§7.6.3) and perhaps `Forwarded` (RFC 7239).
    ///
    /// ```
    /// use aurora_http_core::parse::FieldSlot;
    /// use aurora_http_core::request::Fields;
    ///
    /// let slot = |name, value: &'static str| FieldSlot { name, value: value.as_bytes() };
    /// let slots = [slot("Host", "a"), slot("Connection", "close, X-Hop"), slot("X-Hop", "1"), slot("Accept", "*/*")];
    /// let passed_on: Vec<&str> = Fields::new(&slots).forwarded().map(|field| field.name).collect();
    /// assert_eq!(passed_on, ["Host", "Accept"]);
    /// ```
    pub fn forwarded(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let fields = *self;
        self.iter().filter(move |field| {
            let name = field.name.as_bytes();
            let mut hops = fields.list("Connection").chain([&b"TE"[..], b"Expect"]);
            !is_reserved(name) && !hops.any(|hop| hop.eq_ignore_ascii_case(name))
        })
    }

    /// The value of the field at `index`.
    #[inline]
    pub(crate) fn value_at(&self, index: u8) -> Option<&'a [u8]> {
        self.slots.value_at(index as usize)
    }

    /// The elements of the comma-separated list that all fields called `name` form together (RFC 9110 §5.6.1), without
    /// the white space around them. Empty elements are skipped. Lists with quoted strings are not supported.
    #[must_use]
    pub(crate) fn list(&self, name: &'static str) -> ListElements<'a> {
        ListElements { values: self.get_all(name), rest: b"" }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = Field<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// All fields of a head: see [`Fields::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    slots: Slots<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.slots.pop().map(|(name, value)| Field { name, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.slots.len(), Some(self.slots.len()))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The values of all fields of one name: see [`Fields::get_all`].
#[derive(Clone)]
pub struct GetAll<'a, 'n> {
    slots: Slots<'a>,
    name: &'n str,
}

impl<'a> Iterator for GetAll<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.slots.find(self.name)
    }
}

/// The elements of a comma-separated list over all fields of one name.
#[derive(Clone)]
pub struct ListElements<'a> {
    values: GetAll<'a, 'static>,
    /// The rest of the current value.
    rest: &'a [u8],
}

impl<'a> Iterator for ListElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.rest.is_empty() {
                self.rest = self.values.next()?;
            }
            let end = self.rest.iter().position(|&byte| byte == b',').unwrap_or(self.rest.len());
            let (element, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}
