//! What a request asks for, beside its path: from the request itself, or kept until a file has been opened.

use aurora_http_core::request::Request;

/// The fields that matter for a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Field {
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    IfRange,
    Range,
}

impl Field {
    const ALL: [Self; 6] =
        [Self::IfMatch, Self::IfNoneMatch, Self::IfModifiedSince, Self::IfUnmodifiedSince, Self::IfRange, Self::Range];

    const fn name(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::IfRange => "If-Range",
            Self::Range => "Range",
        }
    }
}

/// The fields of a request.
pub(crate) trait Asked {
    /// Whether `found` accepts any of a field's values, which it is called with in order.
    fn any(&self, field: Field, found: &mut dyn FnMut(&[u8]) -> bool) -> bool;

    fn has(&self, field: Field) -> bool {
        self.any(field, &mut |_| true)
    }
}

impl Asked for Request<'_> {
    fn any(&self, field: Field, found: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.fields().get_all(field.name()).any(found)
    }
}

/// The fields of a request that is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Vec<(Field, Vec<u8>)>);

impl Kept {
    pub(crate) fn of<'v>(fields: impl IntoIterator<Item = (Field, &'v [u8])>) -> Self {
        Self(fields.into_iter().map(|(field, value)| (field, value.to_vec())).collect())
    }

    pub(crate) fn of_request(request: &Request<'_>) -> Self {
        let fields = Field::ALL.into_iter();
        Self::of(fields.flat_map(|field| request.fields().get_all(field.name()).map(move |value| (field, value))))
    }
}

impl Asked for Kept {
    fn any(&self, field: Field, found: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().filter(|(other, _)| *other == field).any(|(_, value)| found(value))
    }
}

/// What matters of a request's head besides its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) is_head: bool,
    /// As it was sent.
    pub(crate) path: &'a [u8],
    pub(crate) query: Option<&'a [u8]>,
}
